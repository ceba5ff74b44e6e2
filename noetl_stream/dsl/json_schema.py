"""JSON Schema (2020-12), by jsonschema, with patterns in linear time: what payloads and results must look like.

Nothing is fetched: a `$ref` reaches what stands in the document itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from noetl_stream.core.values import Value
from noetl_stream.dsl.expressions import shortened
from noetl_stream.dsl.lookup import is_frame
from noetl_stream.dsl.report import Report
from noetl_stream.dsl.source import Node
from noetl_stream.errors import ExpressionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """Where a value is not as asked (`.rows[1].id`, or nothing for the whole), and what was asked. Never the value."""

    where: str
    asked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchema:
    """A schema that stands under `key` of a document, at `place`, as it is written. `errors` asks it of a value."""

    key: str
    place: str
    schema: Value
    errors: Callable[[Value], Iterable[Any]]

    def misfit(self, value: Value) -> Misfit | None:
        """The first thing about a value that does not fit. Frames count as lists of their rows.

        Raises ExpressionError for a schema that cannot be asked.
        """
        from jsonschema.exceptions import best_match

        try:
            error = best_match(self.errors(value))
        except Exception as fault:  # a `$ref` that leads nowhere, a pattern that RE2 does not take
            raise ExpressionError(
                f"the schema cannot be asked ({type(fault).__name__})", text=self.key, place=self.place
            ) from None
        if error is None:
            return None
        path = error.absolute_path
        return Misfit(
            where="".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path),
            asked=shortened(f"{error.validator}: {orjson.dumps(error.validator_value).decode()}"),
        )


def compile_schema(node: Node | None, key: str, report: Report) -> JsonSchema | None:
    """The schema, None if nothing is asked. What is none is reported."""
    if node is None or not node.mapping:
        return None
    # jsonschema is loaded by the first document that asks for it.
    from jsonschema import Draft202012Validator, SchemaError

    schema = node.plain()
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        report.error(f"`{key}` is no JSON Schema: {error.message}", node.place)
        return None
    if not set(schema) & {*Draft202012Validator.VALIDATORS, "$defs", "$schema"}:
        report.warn(
            f"`{key}` has no keyword of JSON Schema, so it asks for nothing",
            node.place,
            "write `{type: object, properties: {…}, required: […]}`",
        )
    errors = _validator(schema).iter_errors
    return JsonSchema(key=key, place=f"{key} ({node.place})", schema=schema, errors=errors)


def _validator(schema: Value) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend
    from referencing import Registry

    types = Draft202012Validator.TYPE_CHECKER.redefine("array", _is_array)
    return extend(Draft202012Validator, {"pattern": _pattern}, type_checker=types)(
        schema, registry=Registry()
    )


def _is_array(checker: Any, instance: Any) -> bool:
    return isinstance(instance, list) or is_frame(instance)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Exception]:
    import re2
    from jsonschema import ValidationError

    if isinstance(instance, str) and not re2.search(pattern, instance):
        yield ValidationError("it does not match")
