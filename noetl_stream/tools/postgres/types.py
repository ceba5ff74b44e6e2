"""Columns of text, as PostgreSQL writes every value, into Arrow columns of their own types: whole columns at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from psycopg.postgres import types as registry

Column: TypeAlias = pa.ChunkedArray
_DIGITS: Final = {128: 38, 256: 76}
_NUMERIC: Final = registry["numeric"].oid


def typed(text: Column, oid: int, modifier: int = -1) -> Column:
    """The column in its Arrow type. One with a value that this cannot hold, infinity for one, stays text.

    `modifier` is the type's own, as the server tells it: the digits of a numeric.
    """
    try:
        return _typed(text, oid, modifier)
    except (pa.ArrowInvalid, ValueError):
        return text


def _typed(text: Column, oid: int, modifier: int) -> Column:
    if oid == _NUMERIC:
        return _decimals(text, modifier)
    if oid in _SIMPLE:
        return _SIMPLE[oid](text)
    if oid in _ELEMENTS:
        return _lists(text, oid)
    return text


def _to(kind: pa.DataType) -> Callable[[Column], Column]:
    return lambda text: text.cast(kind)


def _booleans(text: Column) -> Column:
    return pc.equal(text, "t")


def _times(text: Column) -> Column:
    # Arrow reads no bare time of day.
    return pc.binary_join_element_wise("1970-01-01", text, " ").cast(pa.timestamp("us")).cast(pa.time64("us"))


def _bytes(text: Column) -> Column:
    chunks = [
        pa.array(
            [None if each is None else bytes.fromhex(each[2:]) for each in chunk.to_pylist()], pa.binary()
        )
        for chunk in text.chunks
    ]
    return pa.chunked_array(chunks, pa.binary())


def _decimals(text: Column, modifier: int) -> Column:
    """Exact, with the digits that its type declares, else with as many behind the point as its values have."""
    if modifier >= 4:
        precision, scale = (modifier - 4) >> 16, (modifier - 4) & 0x7FF
        if scale & 0x400:  # a signed number of eleven bits: digits before the point that are always zero
            precision, scale = precision + 0x800 - scale, 0
    else:
        precision, scale = _needed(text)
    if precision <= _DIGITS[128]:
        return text.cast(pa.decimal128(max(precision, 1, scale), scale))
    return text.cast(pa.decimal256(max(precision, scale), scale))


def _needed(text: Column) -> tuple[int, int]:
    """The digits that hold every value: 38 if they suffice, so that two results of one query are alike."""
    if text.null_count == len(text):
        return _DIGITS[128], 0
    dot = pc.find_substring(text, ".")
    length = pc.utf8_length(text)
    behind = pc.if_else(pc.less(dot, 0), 0, pc.subtract(pc.subtract(length, dot), 1))
    before = pc.if_else(pc.less(dot, 0), length, dot)
    scale, whole = pc.max(behind).as_py(), pc.max(before).as_py()
    return _DIGITS[128] if whole + scale <= _DIGITS[128] else min(whole + scale, _DIGITS[256]), scale


def _lists(text: Column, oid: int) -> Column:
    """Lists of one dimension; a column with more of them stays text, as no Arrow type holds both."""
    lists = pa.array(
        [None if each is None else _elements(each) for each in text.to_pylist()], pa.list_(pa.string())
    )
    values = typed(pa.chunked_array([lists.flatten()], pa.string()), _ELEMENTS[oid]).combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, values, mask=lists.is_null())])


def _elements(array: str) -> list[str | None]:
    """The elements of `{1,NULL,"a, b"}`."""
    if not array.startswith("{") or _NESTED.search(array):
        raise ValueError("several dimensions, or bounds of its own")
    return [_element(token) for token in _ELEMENT.finditer(array)]


def _element(token: re.Match[str]) -> str | None:
    if token["quoted"] is not None:
        return _ESCAPED.sub(r"\1", token["quoted"])
    return None if token[0] == "NULL" else token[0]


_ELEMENT: Final = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"|[^,{}"]+', re.DOTALL)
_NESTED: Final = re.compile(r'^\{(?:"(?:[^"\\]|\\.)*"|[^"{])*\{', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_SIMPLE: Final[Mapping[int, Callable[[Column], Column]]] = {
    registry["bool"].oid: _booleans,
    registry["int2"].oid: _to(pa.int16()),
    registry["int4"].oid: _to(pa.int32()),
    registry["int8"].oid: _to(pa.int64()),
    registry["oid"].oid: _to(pa.int64()),
    registry["float4"].oid: _to(pa.float32()),
    registry["float8"].oid: _to(pa.float64()),
    registry["date"].oid: _to(pa.date32()),
    registry["time"].oid: _times,
    registry["timestamp"].oid: _to(pa.timestamp("us")),
    registry["timestamptz"].oid: _to(pa.timestamp("us", "UTC")),
    registry["bytea"].oid: _bytes,
}
_ELEMENTS: Final[Mapping[int, int]] = {
    each.array_oid: each.oid for each in registry if each.array_oid and each.delimiter == ","
}
"""The type of an array → that of its elements."""
