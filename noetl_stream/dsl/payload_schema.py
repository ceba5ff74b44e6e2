"""What a request's payload must look like: `policy.schema.input`, asked before anything else happens."""

from __future__ import annotations

from dataclasses import replace

from noetl_stream.core.plan import Expression, Scope
from noetl_stream.core.values import Value
from noetl_stream.dsl.json_schema import JsonSchema, compile_schema
from noetl_stream.dsl.report import Report
from noetl_stream.dsl.source import Node
from noetl_stream.errors import ExpressionError

_KEY = "policy.schema.input"


def asking_of_payload(workload: Expression, document: Node, report: Report) -> Expression:
    """The inputs' expression, which first holds the payload to `policy.schema.input`, unless `on_drift` is `widen`."""
    schema = compile_schema(document.get("policy", "schema", "input"), _KEY, report)
    drift = document.get("policy", "schema", "on_drift")
    if schema is None or (drift is not None and drift.text == "widen"):
        return workload

    def evaluate(given: Scope) -> Value:
        payload = given.get("payload")
        _check({} if payload is None else payload, schema)
        return workload.evaluate(given)

    return replace(workload, evaluate=evaluate)


def _check(payload: Value, schema: JsonSchema) -> None:
    """Raises ExpressionError that names where and what was asked, never what was given."""
    misfit = schema.misfit(payload)
    if misfit is not None:
        raise ExpressionError(
            f"the payload{misfit.where} is not what the playbook takes, `{misfit.asked}`",
            text=_KEY,
            place=schema.place,
        )
