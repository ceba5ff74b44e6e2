"""What a request's payload must look like: JSON Schema (2020-12), by jsonschema, with patterns in linear time.

Nothing is fetched: a `$ref` reaches what stands in the document itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from noetl_stream.core.plan import Expression, Scope
from noetl_stream.core.values import Value
from noetl_stream.dsl.expressions import shortened
from noetl_stream.dsl.report import Report
from noetl_stream.dsl.source import Node
from noetl_stream.errors import ExpressionError

_KEY = "policy.schema.input"


def asking_of_payload(workload: Expression, document: Node, report: Report) -> Expression:
    """The inputs' expression, which first holds the payload to `policy.schema.input`, unless `on_drift` is `widen`."""
    node, drift = document.get("policy", "schema", "input"), document.get("policy", "schema", "on_drift")
    if node is None or not node.mapping:
        return workload
    validator = _validator(node, report)
    if validator is None or (drift is not None and drift.text == "widen"):
        return workload

    def evaluate(given: Scope) -> Value:
        payload = given.get("payload")
        _check({} if payload is None else payload, validator, f"{_KEY} ({node.place})")
        return workload.evaluate(given)

    return replace(workload, evaluate=evaluate)


def _validator(node: Node, report: Report) -> Any:
    # jsonschema is loaded by the first document that asks for it.
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import extend
    from referencing import Registry

    schema = node.plain()
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        report.error(f"`{_KEY}` is no JSON Schema: {error.message}", node.place)
        return None
    if not set(schema) & {*Draft202012Validator.VALIDATORS, "$defs", "$schema"}:
        report.warn(
            f"`{_KEY}` has no keyword of JSON Schema, so it asks for nothing",
            node.place,
            "write `{type: object, properties: {…}, required: […]}`",
        )
    return extend(Draft202012Validator, {"pattern": _pattern})(schema, registry=Registry())


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Exception]:
    import re2
    from jsonschema import ValidationError

    if isinstance(instance, str) and not re2.search(pattern, instance):
        yield ValidationError("it does not match")


def _check(payload: Value, validator: Any, place: str) -> None:
    """Raises ExpressionError that names where and what was asked, never what was given."""
    from jsonschema.exceptions import best_match

    try:
        error = best_match(validator.iter_errors(payload))
    except Exception as fault:  # a `$ref` that leads nowhere, a pattern that RE2 does not take
        raise ExpressionError(
            f"the schema cannot be asked ({type(fault).__name__})", text=_KEY, place=place
        ) from None
    if error is None:
        return
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    asked = shortened(f"{error.validator}: {orjson.dumps(error.validator_value).decode()}")
    raise ExpressionError(
        f"the payload{where} is not what the playbook takes, `{asked}`", text=_KEY, place=place
    )
