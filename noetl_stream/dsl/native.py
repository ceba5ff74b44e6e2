"""What a template yields, as JSON: marks removed, dates as ISO text, bytes as base64, undefined as null."""

from __future__ import annotations

import math
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from jinja2 import Undefined

from noetl_stream.core.values import Brought, Envelope, Piped, Ref, Result, Value, decimal_number
from noetl_stream.dsl.limits import LIMITS, LimitExceeded
from noetl_stream.dsl.lookup import is_frame, plain, whole


def native(value: Any) -> Value:
    """The value as JSON; references and frames stay what they are, numbers that JSON lacks (NaN) become null.

    Raises TypeError for anything else, LimitExceeded for more values than one evaluation may make.
    """
    return _native(value, Budget())


def native_whole(value: Any) -> Value:
    """Likewise, of a value that no evaluation made and that may be of any size."""
    return _native(value, Budget(values=sys.maxsize, characters=sys.maxsize))


@dataclass(slots=True)
class Budget:
    """How much a walk may still visit: a list may hold one list, or one text, many times over."""

    values: int = LIMITS.values
    characters: int = LIMITS.characters

    def spend(self, values: int) -> None:
        self.values -= values
        if self.values < 0:
            raise LimitExceeded(f"it makes more than {LIMITS.values} values")

    def write(self, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise LimitExceeded(f"it makes more than {LIMITS.characters} characters")


def _native(value: Any, budget: Budget) -> Value:
    kind = type(value)
    if kind is str:
        budget.write(len(value))
        return value
    if value is None or kind in (int, bool, Ref):
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple | range):
        budget.spend(len(value))
        return [_native(each, budget) for each in value]
    if isinstance(value, Mapping):
        budget.spend(len(value))
        return {str(key): _native(each, budget) for key, each in value.items()}
    if isinstance(value, Result | Envelope | Piped | Brought):
        return _native(whole(value), budget)
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
        case Decimal():
            return decimal_number(value)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return b64encode(value).decode()
        case UUID():
            return str(value)
        case _:
            raise TypeError(f"a template cannot yield a {type(value).__name__}")
