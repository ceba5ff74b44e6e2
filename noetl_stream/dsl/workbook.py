"""Calls of workbook entries replaced by the entries' own tools, inputs merged, nested ones included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from noetl_stream.dsl.report import Report, Site, suggest
from noetl_stream.dsl.source import Node


def merged_nodes(base: Node | None, over: Node | None) -> Node | None:
    """`over` laid on `base`: mappings deep, scalars and lists replaced; every value keeps its own place."""
    if base is None or over is None:
        return over if base is None else base
    if not (base.is_mapping and over.is_mapping):
        return over
    entries = dict(base.mapping)
    for key, each in over.mapping.items():
        below = merged_nodes(entries.get(key), each)
        entries[key] = below if below is not None else each
    return Node(entries, over.place, {**base.keys, **over.keys})


def entries_of(document: Node) -> Mapping[str, Node]:
    """The workbook's entries by name."""
    book = document.get("workbook")
    named = ((entry.get("name"), entry) for entry in (book.items if book else []))
    return {name.text: entry for name, entry in named if name is not None and name.text}


def check_entries(document: Node, report: Report) -> None:
    """A call names one entry."""
    seen: set[str] = set()
    book = document.get("workbook")
    for entry in book.items if book else ():
        name = entry.get("name")
        if name is None or not name.text:
            continue
        if name.text in seen:
            report.error(
                f"there are two workbook entries named '{name.text}'", name.place, "rename one of them"
            )
        seen.add(name.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What a call is resolved against: the book, and the inputs that its step and the calls around it give."""

    book: Mapping[str, Node]
    given: frozenset[str]
    site: Site


def expanded(tool: Node, calls: Calls) -> Node:
    """A tool without any `kind: workbook` in it."""
    if tool.is_list:
        return Node([task for each in tool.items for task in _expanded(each, calls, ())], tool.place)
    tasks = _expanded(tool, calls, ())
    return tasks[0] if len(tasks) == 1 else Node(tasks, tool.place)


def _expanded(call: Node, calls: Calls, outer: tuple[str, ...]) -> list[Node]:
    kind = call.get("kind")
    if kind is None or kind.text != "workbook":
        return [call]
    entry = _entry(call, calls, outer)
    if entry is None:
        return []
    name = str(entry.mapping["name"].value)
    _check_expected(entry, call, calls)
    below = replace(calls, given=calls.given | _inputs(call))
    tool = entry.get("tool")
    inner = [
        task
        for each in ((tool.items or [tool]) if tool else [])
        for task in _expanded(each, below, (*outer, name))
    ]
    return [_called(task, call, entry, calls, alone=len(inner) == 1) for task in inner]


def _entry(call: Node, calls: Calls, outer: tuple[str, ...]) -> Node | None:
    """The entry a call names; None, and an error, if there is none or it is being expanded already."""
    called = call.get("workbook") or call.get("name")
    name = str(called.value) if called else ""
    place, site = called.place if called else call.place, calls.site
    if name not in calls.book:
        hint = suggest(name, calls.book)
        site.report.error(f"{site.subject} calls workbook '{name}', which does not exist", place, hint)
        return None
    if name in outer:
        way = " → ".join((*outer, name))
        site.report.error(
            f"{site.subject}: workbook '{name}' calls itself ({way})", place, "break the circle"
        )
        return None
    return calls.book[name]


def _called(task: Node, call: Node, entry: Node, calls: Calls, *, alone: bool) -> Node:
    """The entry's task as it stands at the call: its input under the call's, and the call's own keys over it."""
    own = call.without("kind", "workbook", *(() if "workbook" in call.mapping else ("name",)))
    if not alone:
        own = Node({key: each for key, each in own.mapping.items() if key == "input"}, own.place, own.keys)
    contract = entry.get("assert")
    if contract is not None and alone:
        task = task.with_entries({"assert": contract, **task.mapping})
    declared = task.get("input")
    if declared is not None:
        task = task.with_entries({**task.mapping, "input": _undeclared(declared, calls.given)})
    return merged_nodes(task, own) or task


def _inputs(call: Node) -> frozenset[str]:
    """The names of a call's own inputs."""
    given = call.get("input")
    return frozenset(given.mapping if given else ())


def _undeclared(given: Node, names: frozenset[str]) -> Node:
    """An entry's input without the nulls that merely declare what the step gives."""
    return given.without(*(key for key, each in given.mapping.items() if each.value is None and key in names))


def _check_expected(entry: Node, call: Node, calls: Calls) -> None:
    tool = entry.get("tool")
    contract = entry.get("assert") or (tool.get("assert") if tool else None)
    expects = contract.get("expects") if contract else None
    if expects is None:
        return
    own = tool.get("input") if tool else None
    # A null in an entry's input only declares it.
    settled = {key for key, each in (own.mapping.items() if own else ()) if each.value is not None}
    given = settled | calls.given | _inputs(call)
    for name in [str(each.value) for each in expects.items] or list(expects.mapping):
        if name not in given:
            calls.site.report.error(
                f"{calls.site.subject}: its workbook expects the input '{name}'", call.place, f"give '{name}'"
            )
