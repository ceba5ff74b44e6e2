"""What stands under the cursor, in a few lines of Markdown: keys, tools, steps, names and filters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from noetl_stream.editor.cursor import ITEM, Path
from noetl_stream.editor.json_shapes import Schema
from noetl_stream.editor.marks import Span, composed, templates
from noetl_stream.editor.mentions import step_at
from noetl_stream.editor.outline import StepOutline, outline_of
from noetl_stream.editor.places import Known, keys_of, schemas_at, words_at
from noetl_stream.editor.template_words import FILTERS, NAMES, SHAPES
from noetl_stream.editor.words import TOOLS

_WORD = re.compile(r"(?P<pipe>\|\s*)?(?<![\w.])(?P<word>[A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hover:
    """Markdown about a stretch of the text."""

    span: Span
    words: str


def hover_at(text: str, index: int, schema: Schema) -> Hover | None:
    """What can be said of the character at `index`."""
    if mention := step_at(text, index):
        step = outline_of(text).steps.get(mention.name)
        return Hover(span=mention.span, words=_of_step(step)) if step else None
    root = composed(text)
    spots = (spot for spot in (_spots(root, (), {}) if root else ()) if _holds(spot.node, index))
    spot = next(spots, None)
    if spot is None:
        return None
    return _of_key(spot, schema) if spot.is_key else _of_value(spot, text, index, schema)


@dataclass(frozen=True, slots=True)
class _Spot:
    """A scalar with the path to it (of a key: including it) and the scalars beside that path."""

    node: ScalarNode
    path: Path
    known: Known
    is_key: bool


def _spots(node: YamlNode, path: Path, known: Known) -> Iterator[_Spot]:
    match node:
        case ScalarNode():
            yield _Spot(node, path, known, is_key=False)
        case SequenceNode():
            for each in node.value:
                yield from _spots(each, (*path, ITEM), known)
        case MappingNode():
            scalars = {str(k.value): str(v.value) for k, v in node.value if isinstance(v, ScalarNode)}
            known = {**known, path: scalars}
            for key, value in node.value:
                if isinstance(key, ScalarNode):
                    yield _Spot(key, (*path, str(key.value)), known, is_key=True)
                yield from _spots(value, (*path, str(key.value)), known)


def _holds(node: ScalarNode, index: int) -> bool:
    return bool(node.start_mark.index <= index < node.end_mark.index)


def _span(node: ScalarNode) -> Span:
    return Span(node.start_mark.index, node.end_mark.index)


def _of_key(spot: _Spot, schema: Schema) -> Hover | None:
    *above, key = spot.path
    found = keys_of(schemas_at(schema, tuple(above), spot.known)).get(key)
    if found is None or "description" not in found:
        return None
    words = words_at(schemas_at(schema, spot.path, spot.known))
    choice = "\n\nOne of " + ", ".join(f"`{word}`" for word in words) + "." if 1 < len(words) <= 10 else ""
    return Hover(span=_span(spot.node), words=f"**{key}** {_meaning(found)}{choice}")


def _of_value(spot: _Spot, text: str, index: int, schema: Schema) -> Hover | None:
    if spot.path[-1:] == ("kind",) and str(spot.node.value) in TOOLS:
        return Hover(span=_span(spot.node), words=_of_tool(str(spot.node.value), schema))
    for start, template in templates(spot.node, text):
        for word in _WORD.finditer(template):
            at = start + word.start("word")
            known = FILTERS if word["pipe"] else NAMES
            if at <= index < at + len(word["word"]) and word["word"] in known:
                span = Span(at, at + len(word["word"]))
                return Hover(span=span, words=f"**{word['word']}** {known[word['word']]}")
    return None


def _of_tool(kind: str, schema: Schema) -> str:
    """What the tool does, its keys as its own model has them, and what it yields."""
    own = schema["$defs"].get(f"task_{kind}", {}).get("properties", {})
    common = set(schema["$defs"]["task_other"]["properties"]) | {"kind"}
    keys = [
        f"- `{key}`: {_meaning(each)}"
        for key, each in own.items()
        if key not in common and isinstance(each, dict) and "deprecated" not in each and "description" in each
    ]
    shape = f"Its result is {SHAPES[kind]}." if kind in SHAPES else ""
    return "\n\n".join(part for part in (f"**{kind}** {TOOLS[kind]}", "\n".join(keys), shape) if part)


def _meaning(key: Schema) -> str:
    """What a key means, and what it is where nothing is said."""
    default = key.get("default")
    said = "" if default in (None, "", [], {}) else f" (`{json.dumps(default).strip(chr(34))}` by default)"
    return f"{key['description']}{said}"


def _of_step(step: StepOutline) -> str:
    kinds = " → ".join(f"`{kind}`" for kind in step.kinds) or "it routes only"
    last = "loop" if step.iterator else step.kinds[-1] if step.kinds else ""
    shape = f"Its result is {SHAPES[last]}." if last in SHAPES else ""
    return "\n\n".join(part for part in (f"**step {step.name}** {kinds}", step.desc or "", shape) if part)
