"""Where a document names its steps: where each is written, where arcs lead to it, where templates and code read its result."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from noetl_stream.editor.fixes import Edit
from noetl_stream.editor.marks import Span, below, composed, templates
from noetl_stream.errors import InvalidRequest

_TOKEN = re.compile(
    r"""\bsteps\s*\[\s*(?P<quote>['"])(?P<keyed>[^'"]*)(?P=quote)"""
    r"""|'[^']*'|"[^"]*\""""
    r"|(?<![\w.])steps\s*\.\s*(?P<field>[A-Za-z_]\w*)"
    r"|(?<![\w.])(?P<bare>[A-Za-z_]\w*)(?!\s*=[^=])",
)
_CONTEXT = re.compile(r"""\bcontext\s*(?:\[|\.get\()\s*(['"])(?P<name>[^'"]+)\1""")
_NAMING = frozenset({"entry_step", "final_step"})


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A step's name in the text. `kind` tells where it is written, named as a target, or read."""

    span: Span
    name: str
    kind: str = "reads"


def mentions(text: str) -> list[Mention]:
    """All of them in document order; none in a text that is no YAML."""
    root = composed(text)
    if not isinstance(root, MappingNode):
        return []
    found: set[Mention] = set()
    for key, value in root.value:
        match key.value:
            case "workflow" if isinstance(value, SequenceNode):
                for step in value.value:
                    found |= set(_in_step(step, text))
            case "executor" | "policy":
                found |= set(_named(value, text, str(key.value)))
    names = {each.name for each in found if each.kind == "is"}
    return sorted(each for each in found if each.name in names)


def step_at(text: str, index: int) -> Mention | None:
    """The mention that a cursor stands in."""
    return next((each for each in mentions(text) if each.span.start <= index <= each.span.end), None)


def renamed(text: str, old: str, new: str) -> list[Edit]:
    """The edits that give a step another name everywhere. Raises InvalidRequest where that would mean something else."""
    found = mentions(text)
    if not new.strip() or any(each.name == new and each.kind == "is" for each in found):
        raise InvalidRequest(f"'{new}' cannot be a step's name here; choose one that is not taken")
    if not new.isidentifier() and any(each.name == old and each.kind == "reads" for each in found):
        raise InvalidRequest(f"templates read step '{old}'; choose a name of letters, digits and _")
    written = new if re.fullmatch(r"[\w./-]+", new) else f'"{new}"'
    return [
        Edit(span=each.span, text=new if each.kind == "reads" or _is_quoted(text, each.span) else written)
        for each in found
        if each.name == old
    ]


def _is_quoted(text: str, span: Span) -> bool:
    return text[span.start - 1 : span.start] in ("'", '"')


def _in_step(step: YamlNode, text: str) -> Iterator[Mention]:
    if not isinstance(step, MappingNode):
        return
    own = _own_names(step)
    for key, value in step.value:
        match key.value:
            case "step":
                yield from _whole(value, text, "is")
            case "next":
                yield from _targets(value, text)
            case "on_error":
                yield from _named(value, text, "on_error")
        if key.value != "step":
            yield from _read(value, text, own)


def _targets(node: YamlNode, text: str) -> Iterator[Mention]:
    match node:
        case ScalarNode():
            yield from _whole(node, text, "leads")
        case SequenceNode():
            for each in node.value:
                yield from _targets(each, text)
        case MappingNode():
            for key, value in node.value:
                if key.value == "step":
                    yield from _whole(value, text, "leads")
                elif key.value == "arcs":
                    yield from _targets(value, text)


def _named(node: YamlNode, text: str, above: str) -> Iterator[Mention]:
    """Steps that are named by `entry_step`, `final_step`, `on_failure.step` and `on_error.step`."""
    for key, value in node.value if isinstance(node, MappingNode) else ():
        name = str(key.value)
        if name in _NAMING or (name == "step" and above in ("on_failure", "on_error")):
            yield from _whole(value, text, "leads")
        yield from _named(value, text, name)


def _whole(node: YamlNode, text: str, kind: str) -> Iterator[Mention]:
    if isinstance(node, ScalarNode) and node.value and "\n" not in str(node.value):
        start = text.find(str(node.value), node.start_mark.index, node.end_mark.index)
        if start >= 0:
            yield Mention(Span(start, start + len(str(node.value))), str(node.value), kind)


def _own_names(step: MappingNode) -> frozenset[str]:
    """Names that mean something else inside this step: its tasks, its loop's item."""
    pairs = (pair for node in below(step) if isinstance(node, MappingNode) for pair in node.value)
    return frozenset(
        str(value.value)
        for key, value in pairs
        if key.value in ("iterator", "item", "name") and isinstance(value, ScalarNode)
    )


def _read(node: YamlNode, text: str, own: frozenset[str]) -> Iterator[Mention]:
    match node:
        case ScalarNode():
            yield from _in_text(node, text, own)
        case SequenceNode():
            for each in node.value:
                yield from _read(each, text, own)
        case MappingNode():
            for key, value in node.value:
                yield from _read(value, text, own)
                if key.value == "code" and isinstance(value, ScalarNode):
                    yield from _in_code(value, text)


def _in_text(node: ScalarNode, text: str, own: frozenset[str]) -> Iterator[Mention]:
    for start, template in templates(node, text):
        for token in _TOKEN.finditer(template):
            group = next((g for g in ("keyed", "field", "bare") if token[g]), None)
            if group is None or (group == "bare" and token["bare"] in own):
                continue
            at = start + token.start(group)
            yield Mention(Span(at, at + len(token[group])), token[group])


def _in_code(node: ScalarNode, text: str) -> Iterator[Mention]:
    start = node.start_mark.index
    for found in _CONTEXT.finditer(text[start : node.end_mark.index]):
        at = start + found.start("name")
        yield Mention(Span(at, at + len(found["name"])), found["name"])
