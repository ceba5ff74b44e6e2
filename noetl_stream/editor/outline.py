"""What a document names: its steps with their tasks, its inputs and variables, as far as it can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from noetl_stream.dsl.normalise import normalise
from noetl_stream.dsl.report import Report
from noetl_stream.dsl.source import Node, load
from noetl_stream.dsl.world import step_name
from noetl_stream.dsl.writes import written_names
from noetl_stream.errors import InvalidPlaybook

_STEP = re.compile(r"^\s*-\s+\{?\s*step:\s*['\"]?([^'\"#,}\n]+?)['\"]?\s*(?:[#,}].*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutline:
    """A step: the kinds of its tasks, their names, its loop's name for its item, what is said of it."""

    name: str
    kinds: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    single: bool = True
    iterator: str | None = None
    desc: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The names of a document."""

    steps: Mapping[str, StepOutline] = field(default_factory=dict)
    workload: tuple[str, ...] = ()
    ctx: tuple[str, ...] = ()
    keychain: tuple[str, ...] = ()
    workbook: tuple[str, ...] = ()


def outline_of(text: str, line: int | None = None) -> Outline:
    """The names. Where the text cannot be read, it is tried without the line that is being written."""
    for candidate in (text, _without(text, line)):
        try:
            return _outline(normalise(load(candidate, ""), Report()))
        except InvalidPlaybook:
            continue
    names = _STEP.findall(text)
    return Outline(steps={name: StepOutline(name=name) for name in names})


def _without(text: str, line: int | None) -> str:
    lines = text.split("\n")
    if line is not None and line < len(lines):
        lines[line] = ""
    return "\n".join(lines)


def _outline(document: Node) -> Outline:
    workload, workflow = document.get("workload"), document.get("workflow")
    named = ((step_name(node), node) for node in (workflow.items if workflow else ()))
    return Outline(
        steps={name: _step(name, node) for name, node in named if name is not None},
        workload=tuple(workload.mapping if workload else ()),
        ctx=tuple(dict.fromkeys(written_names(document, "ctx"))),
        keychain=_names(document.get("keychain")),
        workbook=_names(document.get("workbook")),
    )


def _names(listed: Node | None) -> tuple[str, ...]:
    found = (each.get("name") for each in (listed.items if listed else ()))
    return tuple(str(name.value) for name in found if name is not None)


def _step(name: str, node: Node) -> StepOutline:
    tool, iterator, desc = node.get("tool"), node.get("loop", "iterator"), node.get("desc")
    tasks = tool.listed if tool else []
    kinds = tuple(str(kind.value) for task in tasks if (kind := task.get("kind")))
    names = [task.get("name") for task in tasks] if tool and tool.is_list else []
    return StepOutline(
        name=name,
        kinds=kinds,
        tasks=tuple(str(each.value) if each else f"task_{i}" for i, each in enumerate(names)),
        single=not (tool and tool.is_list),
        iterator=str(iterator.value) if iterator else "item" if node.get("loop") else None,
        desc=desc.text if desc else None,
    )
