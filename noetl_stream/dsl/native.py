"""What a template yields, as JSON values: marks removed, dates as ISO text, tuples as lists, undefined as null."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from jinja2 import Undefined

from noetl_stream.core.values import Envelope, Ref, Result, Value
from noetl_stream.dsl.lookup import is_frame, plain, whole


def native(value: Any) -> Value:
    """The value as JSON; references and frames stay what they are. Raises TypeError for anything else."""
    kind = type(value)
    if value is None or kind in (str, int, float, bool, Ref):
        return value
    if kind is list or kind is tuple:
        return [native(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): native(each) for key, each in value.items()}
    if isinstance(value, Result | Envelope):
        return native(whole(value))
    return value if is_frame(value) else _converted(value)


def solid(value: Value) -> Value:
    """The value with the rows of frames in place of frames. Raises NeedsPayload for a reference."""
    match value:
        case dict():
            return {key: solid(each) for key, each in value.items()}
        case list():
            return [solid(each) for each in value]
        case Ref():
            return plain(value)
        case _:
            return [native(row) for row in value] if is_frame(value) else value


def _converted(value: Any) -> Value:
    match value:
        case Undefined():
            return None
        case str():
            return str.__str__(value)
        case list() | tuple():
            return [native(each) for each in value]
        case Decimal():
            return decimal_number(value)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case range():
            return list(value)
        case _:
            raise TypeError(f"a template cannot yield a {type(value).__name__}")


def decimal_number(value: Decimal) -> int | float | str:
    """A number where that is exact, else its text."""
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value():
        return int(value) if abs(value) < 2**53 else str(value)
    return number if Decimal(repr(number := float(value))) == value else str(value)
