"""An execution's inputs: defaults rendered once in document order, the request's payload laid over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from noetl_stream.core.names import LAST, UNSHADOWABLE
from noetl_stream.core.plan import Expression, Scope
from noetl_stream.core.values import Value
from noetl_stream.dsl.expressions import compile_value, merged
from noetl_stream.dsl.report import Report, Site
from noetl_stream.dsl.source import Node
from noetl_stream.errors import ExpressionError


class _Earlier(Mapping[str, Any]):
    """What a default sees: keys already settled, and what the execution was given."""

    def __init__(self, given: Scope, payload: Mapping[str, Value], settled: Mapping[str, Value]) -> None:
        self._given = {**given, "payload": payload, "input": payload}
        self._settled = settled

    def __getitem__(self, key: str) -> Any:
        if key == "workload":
            return self._settled
        if key in self._settled and key not in UNSHADOWABLE:
            return self._settled[key]
        return self._given[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._given, **self._settled})

    def __len__(self) -> int:
        return len({**self._given, **self._settled})


def compile_workload(node: Node | None, report: Report) -> Expression:
    """Yields the merged inputs from `{payload, env, job, execution_id, now, …}`. Raises ExpressionError, also for a
    payload that is no mapping."""
    entries = node.mapping if node else {}
    site = Site(report=report, subject="workload", known=frozenset({*UNSHADOWABLE, *LAST, *entries}))
    defaults = {key: compile_value(each, site.at(key)) for key, each in entries.items()}

    def evaluate(given: Scope) -> Value:
        payload = given.get("payload")
        if payload is None:
            payload = {}
        if not isinstance(payload, Mapping):
            raise ExpressionError("a payload is a mapping; name its values", text="payload", place="workload")
        settled = {key: each for key, each in payload.items() if key not in defaults}
        for key, default in defaults.items():
            settled[key] = _settle(key, default, payload, _Earlier(given, payload, settled))
        return {key: settled[key] for key in (*defaults, *settled)}

    return Expression(evaluate=evaluate, reads=frozenset(), text="workload")


def _settle(key: str, default: Expression, payload: Mapping[str, Value], scope: Scope) -> Value:
    if key not in payload:
        return default.evaluate(scope)
    given = payload[key]
    return merged(default.evaluate(scope), given) if isinstance(given, dict) else given
