"""Calls of workbook entries replaced by the entries' own tools, inputs merged, nested ones included."""

from __future__ import annotations

from collections.abc import Mapping

from noetl_stream.dsl.report import Report, suggest
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


def expanded(tool: Node, book: Mapping[str, Node], subject: str, report: Report) -> Node:
    """A tool without any `kind: workbook` in it."""
    if tool.is_list:
        tasks = [task for each in tool.items for task in _expanded(each, book, (), subject, report)]
        return Node(tasks, tool.place)
    tasks = _expanded(tool, book, (), subject, report)
    return tasks[0] if len(tasks) == 1 else Node(tasks, tool.place)


def _expanded(
    call: Node, book: Mapping[str, Node], open_: tuple[str, ...], subject: str, report: Report
) -> list[Node]:
    kind = call.get("kind")
    if kind is None or kind.text != "workbook":
        return [call]
    called = call.get("workbook") or call.get("name")
    name = str(called.value) if called else ""
    place = called.place if called else call.place
    if name not in book:
        report.error(f"{subject} calls workbook '{name}', which does not exist", place, suggest(name, book))
        return []
    if name in open_:
        report.error(f"{subject}: workbook '{name}' calls itself through {' → '.join(open_)}", place)
        return []
    entry = book[name]
    _check_expected(entry, call, subject, report)
    tool = entry.get("tool")
    inner = [
        task
        for each in ((tool.items or [tool]) if tool else [])
        for task in _expanded(each, book, (*open_, name), subject, report)
    ]
    return [_called(task, call, entry, alone=len(inner) == 1) for task in inner]


def _called(task: Node, call: Node, entry: Node, *, alone: bool) -> Node:
    """The entry's task as it stands at the call: its input under the call's, and the call's own keys over it."""
    own = call.without("kind", "workbook", *(() if "workbook" in call.mapping else ("name",)))
    if not alone:
        own = Node({key: each for key, each in own.mapping.items() if key == "input"}, own.place, own.keys)
    contract = entry.get("assert")
    if contract is not None and alone:
        task = task.with_entries({"assert": contract, **task.mapping})
    return merged_nodes(task, own) or task


def _check_expected(entry: Node, call: Node, subject: str, report: Report) -> None:
    tool = entry.get("tool")
    contract = entry.get("assert") or (tool.get("assert") if tool else None)
    expects = contract.get("expects") if contract else None
    if expects is None:
        return
    given = set(call.mapping["input"].mapping) if "input" in call.mapping else set()
    own = tool.get("input") if tool else None
    # A null in an entry's input only declares it.
    given |= {key for key, each in (own.mapping.items() if own else ()) if each.value is not None}
    for name in [str(each.value) for each in expects.items] or list(expects.mapping):
        if name not in given:
            report.error(f"{subject}: a workbook expects the input '{name}'", call.place, f"give '{name}'")
