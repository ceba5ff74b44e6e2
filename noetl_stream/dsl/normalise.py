"""Older spellings put into canonical ones before anything is checked, each with a warning at its own place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from noetl_stream.dsl.expressions import as_number
from noetl_stream.dsl.kinds import ALIASES
from noetl_stream.dsl.report import Report
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.spellings import ARC, BACKOFF, KEYCHAIN, RETRY, RULE, SPEC, STEP, STORE, TASK
from noetl_stream.dsl.templates import has_template

OWN_ARGS = frozenset({"container", "shell", "script"})
"""Kinds whose `args` are words of a command."""
COMMON = frozenset(
    {
        "kind", "name", "desc", "task", "input", "auth", "set", "spec", "timeout", "output",
        "output_select", "retry", "pool", "iterator", "assert", "workbook",
    }
)  # fmt: skip
"""Keys of any task; the others are its tool's configuration."""


def normalise(document: Node, report: Report) -> Node:
    """The same document in canonical spelling. What is malformed stays as it is, for the schema to refuse."""
    return _changed(
        document,
        {
            "executor": lambda node: _changed(
                node, {"spec": lambda spec: _spec(spec, "the executor", report)}
            ),
            "policy": lambda node: _changed(node, {"retry": lambda retry: _default_rules(retry, report)}),
            "workflow": lambda node: _each(node, lambda step: _step(step, report)),
            "workbook": lambda node: _each(node, lambda entry: _entry(entry, report)),
            "keychain": lambda node: _each(node, lambda each: _keychain(each, report)),
        },
    )


def _changed(node: Node, changes: dict[str, Callable[[Node], Node]]) -> Node:
    if not node.is_mapping:
        return node
    return node.with_entries(
        {key: changes[key](each) if key in changes else each for key, each in node.mapping.items()}
    )


def _each(node: Node, change: Callable[[Node], Node]) -> Node:
    return Node([change(each) for each in node.items], node.place) if node.is_list else node


def renamed(node: Node, old: str, new: str, subject: str, report: Report) -> Node:
    """`old` written as `new`, in the same position, with a warning; a conflict is left for the schema."""
    if old not in node.mapping or new in node.mapping:
        return node
    report.warn(f"'{old}' in {subject} is an older spelling", node.key_place(old), f"write '{new}'")
    entries = {new if key == old else key: each for key, each in node.mapping.items()}
    return node.with_entries(entries, {new: node.key_place(old)})


def _keychain(node: Node, report: Report) -> Node:
    return _word(node, "kind", KEYCHAIN, "the keychain", report)


def _word(node: Node, key: str, words: Mapping[str, str], subject: str, report: Report) -> Node:
    """A value with an older name, under its current one."""
    found = node.mapping.get(key)
    word = words.get(found.text or "") if found else None
    if found is None or word is None:
        return node
    report.warn(f"'{found.text}' in {subject} is an older spelling", found.place, f"write '{word}'")
    return node.with_entries({**node.mapping, key: Node(word, found.place)})


def _step(node: Node, report: Report) -> Node:
    name = node.mapping.get("step")
    subject = f"step '{name.text}'" if name and name.text else "a step"
    for old, new in STEP.items():
        node = renamed(node, old, new, subject, report)
    return _changed(
        node,
        {
            "tool": lambda tool: tools(tool, subject, report),
            "next": lambda route: _route(route, subject, report),
            "result": lambda store: _store(store, subject, report),
            "spec": lambda spec: _spec(spec, subject, report),
            "loop": lambda loop: _changed(
                loop,
                {
                    "spec": lambda spec: _spec(spec, subject, report),
                    "cursor": lambda cursor: renamed(
                        cursor, "credential", "auth", f"the cursor of {subject}", report
                    ),
                },
            ),
        },
    )


def _entry(node: Node, report: Report) -> Node:
    name = node.mapping.get("name")
    subject = f"workbook '{name.text if name else '?'}'"
    return _changed(node, {"tool": lambda tool: tools(tool, subject, report)})


def _route(node: Node, subject: str, report: Report) -> Node:
    def arc(each: Node) -> Node:
        for old, new in ARC.items():
            each = renamed(each, old, new, f"an arc of {subject}", report)
        return each

    if node.is_list:
        return _each(node, arc)
    if node.is_mapping and "step" in node.mapping:
        return Node([arc(node)], node.place)
    return _changed(node, {"arcs": lambda arcs: _each(arcs, arc)})


def _store(node: Node, subject: str, report: Report) -> Node:
    return _changed(node, {"store": lambda store: _word(store, "kind", STORE, subject, report)})


def tools(node: Node, subject: str, report: Report) -> Node:
    """A tool as a list of tasks, each a mapping with `kind` and perhaps `name`; a lone mapping stays one."""
    if node.is_list:
        return Node([_task(_labelled(each), subject, report) for each in node.items], node.place)
    return _task(node, subject, report) if node.is_mapping else node


def _labelled(node: Node) -> Node:
    """`- label: {kind, …}` and `- workbook: name` as plain tasks."""
    entries = node.mapping
    if "workbook" in entries and "kind" not in entries:
        return node.with_entries({"kind": Node("workbook", node.place), **entries})
    if len(entries) != 1 or "kind" in entries:
        return node
    ((label, inner),) = entries.items()
    if not inner.is_mapping:
        return node
    # A call of a workbook entry has two names: its own here, and the entry's inside.
    called = {"workbook": inner.mapping["name"]} if _calls_by_name(inner) else {}
    return inner.with_entries(
        {**inner.mapping, "name": Node(label, node.key_place(label)), **called},
        {"name": node.key_place(label)},
    )


def _calls_by_name(node: Node) -> bool:
    kind = node.mapping.get("kind")
    return bool(
        kind and kind.text == "workbook" and "workbook" not in node.mapping and "name" in node.mapping
    )


def _task(node: Node, subject: str, report: Report) -> Node:
    if not node.is_mapping:
        return node
    subject = f"the tool of {subject}"
    kind = node.mapping["kind"].text if "kind" in node.mapping else None
    for old, new in TASK.items():
        if new != "input" or _gives_input(node, old, kind):
            node = renamed(node, old, new, subject, report)
    node = _one_timeout(node, subject, report)
    node = _word(node, "kind", ALIASES, subject, report)
    return _changed(
        node,
        {
            "output": lambda store: _store(store, subject, report),
            "spec": lambda spec: _spec(spec, subject, report),
            "retry": lambda retry: _retry(retry, subject, report),
        },
    )


def _one_timeout(node: Node, subject: str, report: Report) -> Node:
    """A timeout of parts, as `{connect, read}`, is how long a try may take in all."""
    timeout = node.mapping.get("timeout")
    parts = [as_number(each.value) for each in timeout.mapping.values()] if timeout else []
    if timeout is None or not parts or None in parts:
        return node
    total = sum(part for part in parts if part is not None)
    report.warn(f"a timeout of parts in {subject} is their sum", timeout.place, f"write 'timeout: {total}'")
    return node.with_entries({**node.mapping, "timeout": Node(total, timeout.place)})


def _gives_input(node: Node, key: str, kind: str | None) -> bool:
    """Whether `args` or `payload` is an older word for the input: a mapping, or one template, and not the kind's own."""
    found = node.mapping.get(key)
    if found is None or (key, kind) == ("payload", "http"):
        return False
    return found.is_mapping or (has_template(found.text or "") and kind not in OWN_ARGS)


def _retry(node: Node, subject: str, report: Report) -> Node:
    for old, new in RETRY.items():
        node = renamed(node, old, new, f"`retry` of {subject}", report)
    return _word(node, "backoff", BACKOFF, subject, report)


def _default_rules(node: Node, report: Report) -> Node:
    """What the document says for every task: rules, or a `retry` block."""
    if node.is_list:
        return _each(node, lambda rule: _rule(rule, "the playbook", report))
    return _retry(node, "the playbook", report)


def _spec(node: Node, subject: str, report: Report) -> Node:
    for old, new in SPEC.items():
        node = renamed(node, old, new, f"`spec` of {subject}", report)
    node = _one_timeout(node, f"`spec` of {subject}", report)

    def policy(each: Node) -> Node:
        changes = {"rules": lambda rules: _each(rules, lambda rule: _rule(rule, subject, report))}
        return _changed(each, {**changes, "admit": lambda admit: _changed(admit, changes)})

    return _changed(node, {"policy": policy})


def _rule(node: Node, subject: str, report: Report) -> Node:
    for old, new in RULE.items():
        node = renamed(node, old, new, f"a rule of {subject}", report)

    def then(each: Node) -> Node:
        return _word(each, "backoff", BACKOFF, subject, report)

    return _changed(node, {"then": then, "else": lambda each: _changed(then(each), {"then": then})})
