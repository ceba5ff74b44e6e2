"""An execution's inputs: defaults rendered once in document order, the request's payload laid over them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

from noetl_stream.core.names import LAST, UNSHADOWABLE
from noetl_stream.core.plan import Expression, Scope
from noetl_stream.core.values import Value
from noetl_stream.dsl.expressions import compile_value, merged
from noetl_stream.dsl.report import Report, Site
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.world import SECRET
from noetl_stream.errors import ExpressionError


def compile_workload(node: Node | None, report: Report) -> Expression:
    """Yields the merged inputs from `{payload, env, job, execution_id, now, …}`. Raises ExpressionError, also for a
    payload that is no mapping."""
    entries = node.mapping if node else {}
    site = Site(
        report=report, subject="workload", known=frozenset({*UNSHADOWABLE, *LAST, *entries}), hidden=SECRET
    )
    defaults = {key: compile_value(each, site.at(key)) for key, each in entries.items()}

    def evaluate(given: Scope) -> Value:
        payload = given.get("payload")
        if payload is None:
            payload = {}
        if not isinstance(payload, Mapping):
            raise ExpressionError("a payload is a mapping; name its values", text="payload", place="workload")
        settled = {key: each for key, each in payload.items() if key not in defaults}
        for key, default in defaults.items():
            settled[key] = _settle(key, default, payload, _earlier(given, payload, settled))
        return {key: settled[key] for key in (*defaults, *settled)}

    return Expression(evaluate=evaluate, reads=frozenset(), text="workload")


def _settle(key: str, default: Expression, payload: Mapping[str, Value], scope: Scope) -> Value:
    if key not in payload:
        return default.evaluate(scope)
    given = payload[key]
    return merged(default.evaluate(scope), given) if isinstance(given, dict) else given


def _earlier(given: Scope, payload: Mapping[str, Value], settled: Mapping[str, Value]) -> Scope:
    """What a default sees: what cannot be shadowed, keys already settled, then whatever else was given."""
    fixed = {name: given[name] for name in UNSHADOWABLE if name in given}
    layers = ({**fixed, "workload": settled}, settled, {**given, "payload": payload, "input": payload})
    return ChainMap(*layers)  # type: ignore[arg-type] # read only: nothing is ever set on the chain
