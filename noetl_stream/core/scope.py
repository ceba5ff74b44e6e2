"""What a bare name means in a template (dsl: names): layers in order of precedence, for `decide` and workers alike."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from noetl_stream.core.plan import Expression, Path, Scope
from noetl_stream.core.values import Envelope, Error, Ref, Result, Value, marked
from noetl_stream.ids import identity

_OLDER_NAMES = {"step.done": "call.done", "step.failed": "call.error", "loop.done": "loop.done"}


class EventName(str):
    """An event's name; it compares equal to its older spelling too."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True or _OLDER_NAMES.get(str(self)) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class Results(Mapping[str, Result]):
    """Results by step or task name, marked so that look-ups on them are lenient."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Result:
        return marked(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Envelopes(Mapping[str, Envelope]):
    """Steps' envelopes by name, marked likewise and made only when read."""

    def __init__(self, steps: Mapping[str, Mapping[str, Value]]) -> None:
        self._steps = steps

    def __getitem__(self, name: str) -> Envelope:
        return Envelope(self._steps[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an execution knows when a template is evaluated. The same on both sides of the block topic."""

    execution: int
    path: str
    version: int
    seed: str
    at: float
    site: str
    workload: Mapping[str, Value] = field(default_factory=dict)
    ctx: Mapping[str, Value] = field(default_factory=dict)
    results: Mapping[str, Value] = field(default_factory=dict)
    steps: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    via: str | None = None
    error: Error | None = None
    spec: Value = None
    draws: Iterator[int] = field(default_factory=count, compare=False, repr=False)
    """Numbers the tokens drawn at this site."""


def names(
    facts: Facts,
    *,
    fixed: Mapping[str, Any] | None = None,
    local: Mapping[str, Any] | None = None,
    iterator: Mapping[str, Any] | None = None,
    last: Mapping[str, Any] | None = None,
) -> ChainMap[str, Any]:
    """All names, nearest first. `fixed` cannot be shadowed, `local` are a pipeline's own, `last` give way to all."""
    layers = (
        {**_fixed(facts), **(fixed or {})},
        local or {},
        iterator or {},
        Results(facts.results),
        facts.ctx,
        facts.workload,
        {**_last(facts), **(last or {})},
    )
    return ChainMap(*layers)  # type: ignore[arg-type] # read only: nothing is ever set on the chain


def _fixed(facts: Facts) -> dict[str, Any]:
    text = str(facts.execution)
    return {
        "workload": facts.workload,
        "ctx": facts.ctx,
        "steps": Envelopes(facts.steps),
        "execution_id": text,
        "job": {"uuid": text, "execution_id": text},
        "now": moment(facts.at),
        "token": token(facts.seed, facts.execution, facts.site, facts.draws),
    }


def _last(facts: Facts) -> dict[str, Any]:
    found: dict[str, Any] = {"path": facts.path, "version": facts.version, "spec": facts.spec}
    if facts.via is not None and facts.via in facts.results:
        found["result"] = found["response"] = marked(facts.results[facts.via])
    if facts.error is not None:
        found["error"] = error_fields(facts.error)
    return found


def bind(scope: Mapping[str, Any], reads: Iterable[Path]) -> Scope:
    """Only the names that an expression reads; ("*",) is all of them."""
    roots = {path[0] for path in reads}
    if "*" in roots:
        return dict(scope)
    return {root: scope[root] for root in roots if root in scope}


def evaluate(expression: Expression, scope: Mapping[str, Any]) -> Value:
    return expression.evaluate(bind(scope, expression.reads))


def moment(at: float) -> Callable[[], datetime]:
    """The language's `now()`: a decision's own moment, so that replay reads the same."""
    return lambda: datetime.fromtimestamp(at, tz=UTC)


def token(seed: str, execution: int, site: str, draws: Iterator[int]) -> Callable[[], str]:
    """The language's `token()`: unpredictable from outside, the same on replay. Each call at a site differs."""
    return lambda: identity("token", seed, execution, site, next(draws)).hex()


def envelope(
    result: Value, *, error: Error | None, http: Value = None, attempt: int = 1, duration_ms: float = 0.0
) -> Envelope:
    """The `output` of rules, step `set` and arcs."""
    fields = {
        "status": "ok" if error is None else "error",
        "data": result,
        "response": result,
        "error": None if error is None else error_fields(error),
        "http": http,
        "ref": where(marked(result)),
        "meta": {"attempt": attempt, "duration_ms": duration_ms},
    }
    return Envelope(fields)


def where(result: Result) -> str | None:
    """The place of an externalised result."""
    ref = result.value if isinstance(result.value, Ref) else result.ref
    return None if ref is None else ref.uri


def error_fields(error: Error) -> dict[str, Value]:
    return {
        "kind": error.kind,
        "message": error.message,
        "retryable": error.retryable,
        "status": error.status,
        "code": error.code,
        "step": error.step,
    }
