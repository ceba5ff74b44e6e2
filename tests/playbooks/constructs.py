"""What the examples must show of the language: every key and word of its tables, every tool, and what is no key at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from ruamel.yaml import YAML

from noetl_stream.dsl import document, schema
from noetl_stream.dsl.pending import STORAGE, TODAY
from noetl_stream.dsl.shapes import Choice, Either, Keys, Many, Shape, Templated
from noetl_stream.tools.builtin import kinds

STEP: Final = Keys(keys=schema.STEP)
TASK: Final = Keys(keys={**schema.TASK, "spec": Keys(keys=schema.TASK_SPEC)})
PLAYBOOK: Final = document.PLAYBOOK
NOT_YET: Final = "nothing acts on it in this version"
OUTSIDE: Final = "needs a system outside"
KEPT: Final = "kept for readers and other systems"
DEFAULT: Final = "the default; the others are shown"
FOREIGN: Final = "JSON Schema, a language of its own"
LIKE_STEP: Final = "as the step's `result`, which is shown"
LIKE_THEN: Final = "as under `then`, which is shown"
UNTAUGHT: Final[Mapping[str, str]] = {
    **{f"{keys[-2]}.{keys[-1]}": NOT_YET for keys in TODAY},
    **dict.fromkeys(("concurrency.*", "rate.*", "schedule.*"), NOT_YET),
    **{f"store.{keys[-1]}": NOT_YET for keys in STORAGE},
    "store.bucket": OUTSIDE,
    "retention.all": "as a bare duration",
    "store.prefix": OUTSIDE,
    "effects=at_least_once": DEFAULT,
    "on_limit=*": NOT_YET,
    "admit.mode": KEPT,
    "executor.*": KEPT,
    "metadata.*": KEPT,
    "policy.exec": KEPT,
    "policy.results": KEPT,
    "task.task": KEPT,
    "requires.features": KEPT,
    "join=all": DEFAULT,
    "kind=auto": DEFAULT,
    "mode=sequential": DEFAULT,
    "on_error=fail": DEFAULT,
    "on_no_match=*": DEFAULT,
    "on_violation=fail": DEFAULT,
    "priority=normal": DEFAULT,
    "else.*": LIKE_THEN,
    "retry.[etw]*": "rules in place of the block, as a task's",
    "output.*": LIKE_STEP,
    "task.output*": LIKE_STEP,
    "output_select.*": "an older way to say `inline_max_bytes`",
    "*.durable": "the same as `store: log`",
    "durable=log": "the same as `store: log`",
    "kind=log": "where a result stands, like `kv`",
    "kind=disk": OUTSIDE,
    "kind=[gs][c3]*": OUTSIDE,
    "task.assert": "as a workbook entry's, which is shown",
    "cursor.auth": OUTSIDE,
    "on_failure.playbook": "starts another playbook; the step is shown",
    "keychain.*": OUTSIDE,
    "provider=*": OUTSIDE,
    "scope=*": OUTSIDE,
    "on_drift=*": FOREIGN,
    "schema.on_drift": FOREIGN,
}
"""Keys that may go without an example, as patterns, and why."""

SPOKEN: Final[Mapping[str, str]] = {
    "a workload template": r"^  \w+: \"\{\{",
    "a result of a task": r"\.results\.\w+",
    "an envelope of a step": r"steps\.\w+\.(status|attempts|error)",
    "a reference": r"\._ref\b",
    "an event": r"event\.name",
    "an error that led here": r"\{\{ error\.",
    "rows by index": r"\[\d\]\.\w+",
    "a collection that is a list": r"in: \[",
    "a collection that is a number": r"in: \d",
    "a collection that is text": r"in: \"\[",
    "an item's index": r"iter\.index",
    "a variable of the iteration": r"iter\.tries",
    "a variable of the step": r"step\.count",
    "code that returns": r"^ +return ",
    "code with a main": r"def main\(",
    "code that is awaited": r"async def main",
    "what code looks up": r"context\[",
    "an arc back": r"step: drain$",
    "a credential": r"keychain\.\w+",
}
"""What is no key: a pattern that some example must match."""


def known() -> frozenset[str]:
    """Every key and word of the tables by what it stands in, like `loop.while`, `then.do=jump`; and every kind of tool."""
    tables = (*_words(PLAYBOOK, "document"), *_words(STEP, "step"), *_words(TASK, "task"))
    return frozenset(tables) | {f"kind={kind}" for kind in kinds()}


def untaught(construct: str) -> bool:
    """Whether it may go without an example."""
    return any(fnmatchcase(construct, pattern) for pattern in UNTAUGHT)


def uses(text: str) -> frozenset[str]:
    """Those of a playbook's text, likewise."""
    playbook = YAML(typ="safe", pure=True).load(text)
    found = set(_used(PLAYBOOK, playbook, "document"))
    for step in playbook["workflow"]:
        found.update(_used(STEP, step, "step"))
        for task in _tasks(step.get("tool", [])):
            found.update(_used(TASK, task, "task"))
            found.add(f"kind={task.get('kind', 'workbook')}")
    return frozenset(found)


def _tasks(tool: Any) -> Iterator[Mapping[str, Any]]:
    """A step's tasks; `- label: {kind: …}` is one with a name."""
    for task in tool if isinstance(tool, list) else [tool]:
        (first, *more) = task.items()
        labelled = not more and isinstance(first[1], Mapping)
        yield {"name": first[0], **first[1]} if labelled else task


def _words(shape: Shape, parent: str) -> Iterator[str]:
    """All that a shape knows."""
    match shape:
        case Keys(keys=keys):
            for key, below in keys.items():
                yield f"{parent}.{key}"
                yield from _words(below, key)
        case Many(of=below) | Templated(of=below):
            yield from _words(below, parent)
        case Either():
            for below in _forms(shape):
                yield from _words(below, parent)
        case Choice(words=words):
            yield from (f"{parent}={word}" for word in words)


def _used(shape: Shape, value: Any, parent: str) -> Iterator[str]:
    """What a value uses of it."""
    match shape, value:
        case Keys(keys=keys), Mapping():
            for key, each in value.items():
                if key in keys:
                    yield f"{parent}.{key}"
                    yield from _used(keys[key], each, key)
        case Many(of=below), list():
            for each in value:
                yield from _used(below, each, parent)
        case Templated(of=below), _:
            yield from _used(below, value, parent)
        case Either(), _:
            for below in _forms(shape):
                yield from _used(below, value, parent)
        case Choice(), str():
            yield f"{parent}={value}"


def _forms(shape: Either) -> Iterator[Shape]:
    return (below for below in (shape.mapping, shape.list, shape.scalar) if below is not None)
