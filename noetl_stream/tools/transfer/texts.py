"""Values as text and back, whole columns at a time: uuids, JSON, bytes."""

from __future__ import annotations

import base64
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc


def uuid_texts(uuids: pa.Array) -> pa.Array:
    """16 bytes each, in the usual form of 36 characters."""
    hexed = pl.Series(uuids.cast(pa.binary())).bin.encode("hex").to_arrow().cast(pa.string())
    cuts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)]
    return pc.binary_join_element_wise(*(pc.utf8_slice_codeunits(hexed, *cut) for cut in cuts), "-")


def uuids_of(texts: pa.Array) -> pa.Array:
    """Raises ValueError for one that is no uuid."""
    plain = pl.Series(texts.cast(pa.string())).str.strip_chars("{}").str.replace_all("-", "", literal=True)
    try:
        read = plain.str.decode("hex").to_arrow().cast(pa.binary())
        return read.cast(pa.binary(16))
    except (pl.exceptions.PolarsError, pa.ArrowInvalid) as error:
        raise ValueError("a value is no uuid") from error


def json_texts(values: pa.Array) -> pa.Array:
    """Each value as JSON, null as null. Raises ValueError as `check_finite`."""
    check_finite(values)
    return pa.array([None if each is None else json_text(each) for each in values.to_pylist()], pa.string())


def check_finite(values: pa.Array) -> None:
    """Raises ValueError for NaN or an infinity, however deep: JSON would have null there."""
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        return
    if pa.types.is_floating(kind):
        if pc.any(pc.invert(pc.is_finite(values))).as_py():
            raise ValueError("JSON has no NaN and no infinity")
    elif pa.types.is_map(kind):
        check_finite(values.items)
    elif pa.types.is_struct(kind):
        for field in values.flatten():
            check_finite(field)
    elif pa.types.is_nested(kind):
        check_finite(values.flatten())


def base64_texts(values: pa.Array) -> pa.Array:
    return pl.Series(values).bin.encode("base64").to_arrow().cast(pa.string())


def json_text(value: Any) -> str:
    return json_bytes(value).decode()


def json_bytes(value: Any) -> bytes:
    """A decimal, a date or a uuid as text, bytes as base64, a duration as its seconds."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _plain(value: Any) -> Any:
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case timedelta():
            return value.total_seconds()
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")
