"""What a task's rules say about how it ended (dsl: task policy). Pure: the rules, a scope, counters, a drawn number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, assert_never

from noetl_stream.core.plan import Expression
from noetl_stream.core.scope import evaluate
from noetl_stream.core.values import Value
from noetl_stream.dsl.tasks import Rule

Backoff: TypeAlias = Literal["fixed", "linear", "exponential"]

IN_SLOT = 2.0
"""Seconds: a retry that is due sooner waits in its slot, a later one frees it."""
ATTEMPTS = 3
LONGEST = 86_400.0
"""Seconds: a backoff that grows stops growing here."""


@dataclass(frozen=True, slots=True)
class Continue:
    """On to the next task."""


@dataclass(frozen=True, slots=True)
class Again:
    """The same task once more, `after` seconds."""

    after: float


@dataclass(frozen=True, slots=True)
class Jump:
    """On to the task with this label."""

    to: str


@dataclass(frozen=True, slots=True)
class Break:
    """The pipeline ends well."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The block fails with the task's error; `why` tells of a task that had none."""

    why: str = "went well, but its rule says `fail`"


Ruling: TypeAlias = Continue | Again | Jump | Break | Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """A ruling and the values that the rule that made it writes."""

    ruling: Ruling
    writes: Mapping[str, Value]


def rule(
    rules: tuple[Rule, ...],
    scope: Mapping[str, Any],
    *,
    failed: bool,
    tries: int,
    jitter: float,
    retry_after: float | None,
) -> Ruled:
    """The first rule that matches decides. `tries` counts this task's, this one included; `jitter` is in [0, 1)."""
    chosen = next((r for r in rules if r.when is None or evaluate(r.when, scope)), None)
    if chosen is None:
        return Ruled(ruling=Fail() if failed else Continue(), writes={})
    ruling = _ruling(chosen, scope, tries=tries, jitter=jitter, retry_after=retry_after)
    writes = evaluate(chosen.writes, scope) if chosen.writes is not None else {}
    return Ruled(ruling=ruling, writes=writes)


def _ruling(
    chosen: Rule,
    scope: Mapping[str, Any],
    *,
    tries: int,
    jitter: float,
    retry_after: float | None,
) -> Ruling:
    match chosen.do:
        case "continue":
            return Continue()
        case "break":
            return Break()
        case "jump":
            return Jump(chosen.to or "")
        case "fail":
            return Fail()
        case "retry":
            if tries >= (attempts := _number(chosen.attempts, scope, ATTEMPTS)):
                return Fail(f"used up its {attempts:g} attempts")
            return Again(max(_delay(chosen, scope, tries, jitter), retry_after or 0.0))
        case _:
            assert_never(chosen.do)


def _number(value: Expression | float | None, scope: Mapping[str, Any], default: float) -> float:
    found = evaluate(value, scope) if isinstance(value, Expression) else value
    return default if found is None else float(found)


def _delay(chosen: Rule, scope: Mapping[str, Any], tries: int, jitter: float) -> float:
    """Seconds before try number `tries` + 1."""
    base = _number(chosen.delay, scope, 0.0 if chosen.backoff == "fixed" else 1.0)
    return backoff(chosen.backoff, base, tries, jitter)


def backoff(kind: Backoff, base: float, tries: int, jitter: float) -> float:
    """`fixed` repeats the delay, `linear` adds it, `exponential` doubles it and spreads up to a quarter more.

    What grows does so up to a day.
    """
    match kind:
        case "fixed":
            return base
        case "linear":
            return max(base, min(base * tries, LONGEST))
        case "exponential":
            grown = base * 2.0 ** min(tries - 1, 64) * (1 + jitter / 4)
            return max(base, min(grown, LONGEST))
        case _:
            assert_never(kind)
