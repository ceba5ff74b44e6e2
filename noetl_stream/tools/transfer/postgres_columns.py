"""The columns of a PostgreSQL table as COPY BINARY takes them from Arrow, and those that the server has to cast from text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from noetl_stream.tools.transfer.columns import JSON, UUID, is_list, is_nested
from noetl_stream.tools.transfer.naming import quoted

COLUMNS: Final = """
    SELECT a.attname, coalesce(nullif(t.typbasetype, 0), t.oid)::bigint,
           CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,
           t.typtype = 'e', format_type(a.atttypid, a.atttypmod), n.nspname, c.relname
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum"""

_NUMERIC, _INTERVAL, _JSONB, _TEXT, _DATE = 1700, 1186, 3802, 25, 1082
_NUMBERS: Final = frozenset([_NUMERIC, 700, 701])
_TIMES: Final = frozenset([1083, 1266])
_MOMENTS: Final = _TIMES | {1114, 1184, _INTERVAL}
_DIRECT: Final = {
    16: pa.bool_(),
    21: pa.int16(),
    23: pa.int32(),
    20: pa.int64(),
    700: pa.float32(),
    701: pa.float64(),
    19: pa.string(),
    _TEXT: pa.string(),
    1042: pa.string(),
    1043: pa.string(),
    114: pa.string(),
    17: pa.binary(),
    1082: pa.date32(),
    1083: pa.time64("us"),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", "UTC"),
    2950: UUID,
    _JSONB: JSON,
}
_ELEMENTS: Final = {
    1000: 16,
    1005: 21,
    1007: 23,
    1016: 20,
    1021: 700,
    1022: 701,
    1009: _TEXT,
    1015: 1043,
    1001: 17,
    1182: 1082,
    1183: 1083,
    1115: 1114,
    1185: 1184,
    1231: _NUMERIC,
}
_DIGITS: Final = 76
_MIXED: Final = (UUID, JSON)
_NAMES: Final = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_int32, "integer"),
    (pa.types.is_int64, "bigint"),
    (pa.types.is_uint16, "integer"),
    (pa.types.is_uint32, "bigint"),
    (pa.types.is_uint64, "numeric(20)"),
    (pa.types.is_integer, "smallint"),
    (pa.types.is_float64, "double precision"),
    (pa.types.is_floating, "real"),
    (pa.types.is_string, "text"),
    (pa.types.is_binary, "bytea"),
    (pa.types.is_fixed_size_binary, "bytea"),
    (pa.types.is_date, "date"),
    (pa.types.is_time, "time"),
    (pa.types.is_duration, "interval"),
    (pa.types.is_interval, "interval"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the target: what it takes, and whether the server casts that from text.

    `declared` is its type as SQL names it.
    """

    name: str
    declared: str
    takes: pa.DataType
    oid: int = 0
    jsonb: bool = False
    cast: bool = False

    @property
    def staged(self) -> str:
        """The type of its column in a staging table."""
        if not self.cast:
            return self.declared
        return "text[]" if is_list(self.takes) else "text"

    @property
    def rounds(self) -> str | None:
        """A question to the server for a staged value: whether its cast would round or cut it. None if it cannot."""
        name = quoted(self.name)
        if is_list(self.takes):
            inner = _rounds("each", self.declared.removesuffix("[]"), _ELEMENTS.get(self.oid, 0))
            return inner and f"EXISTS (SELECT FROM unnest({name}) AS each WHERE {inner})"
        return _rounds(name, self.declared, self.oid)


def _rounds(name: str, declared: str, oid: int) -> str | None:
    if oid in _NUMBERS:
        return f"{name}::numeric <> {name}::{declared}::text::numeric"
    if oid == _DATE:
        return f"{name} ~ ':' AND {name}::timestamp <> {name}::{declared}::timestamp"
    if oid in _MOMENTS:
        day = f" OR {name} ~ '\\d{{4}}-\\d\\d?-\\d'" if oid in _TIMES else ""
        return f"({name} ~ '\\.\\d{{6}}\\d*[1-9]'{day})"
    return None


def column_of(row: tuple[Any, ...], given: pa.DataType) -> Column:
    """The column that a row of `COLUMNS` tells of, for values of the type given."""
    name, oid, modifier, enum, declared, *_ = row
    direct = pa.string() if enum else _direct(int(oid), int(modifier), given)
    if direct is not None:
        return Column(name=name, declared=declared, takes=direct, jsonb=oid == _JSONB)
    many = is_list(given) and declared.endswith("[]")
    return Column(
        name=name,
        declared=declared,
        takes=pa.list_(pa.string()) if many else pa.string(),
        oid=int(oid),
        cast=True,
    )


def _direct(oid: int, modifier: int, given: pa.DataType) -> pa.DataType | None:
    if oid == _NUMERIC:
        return _decimal(modifier, given)
    if oid == _INTERVAL:
        return (
            pa.duration("us")
            if pa.types.is_duration(given)
            else given
            if pa.types.is_interval(given)
            else None
        )
    if oid in _ELEMENTS and is_list(given) and not is_nested(given.value_type):
        inner = _direct(_ELEMENTS[oid], modifier, given.value_type)
        return None if inner is None else pa.list_(inner)
    kind = _DIRECT.get(oid)
    if kind is None or (pa.types.is_string(given) and not _holds_text(kind)):
        # The server reads a text by its own rules.
        return None
    return kind


def _holds_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or kind in _MIXED)


def _decimal(modifier: int, given: pa.DataType) -> pa.DataType | None:
    if not (pa.types.is_decimal(given) or pa.types.is_integer(given)):
        return None
    if modifier < 4:
        return given if pa.types.is_decimal(given) else pa.decimal128(20, 0)
    precision, scale = (modifier - 4) >> 16, (modifier - 4) & 0x7FF
    if scale & 0x400 or max(precision, scale) > _DIGITS:
        return None
    precision = max(precision, scale)
    return pa.decimal128(precision, scale) if precision <= _DIGITS // 2 else pa.decimal256(precision, scale)


def type_name(kind: pa.DataType) -> str:
    """The type of a new column that holds these values exactly."""
    if kind in _MIXED:
        return "uuid" if kind == UUID else "jsonb"
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    if is_list(kind) and not is_nested(kind.value_type):
        return f"{type_name(kind.value_type)}[]"
    return next((name for is_one, name in _NAMES if is_one(kind)), "jsonb")


def encoded(batch: pa.RecordBatch, columns: list[Column]) -> pa.RecordBatch:
    """The batch as the driver writes it: a jsonb begins with the number of its format, a uuid is 16 bytes."""
    arrays = [_encoded(array, column) for array, column in zip(batch.columns, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _encoded(array: pa.Array, column: Column) -> pa.Array:
    storage = array.storage if isinstance(array, pa.ExtensionArray) else array
    if not column.jsonb:
        return storage
    return pc.binary_join_element_wise(b"\x01", storage.cast(pa.binary()), b"")


def encoded_schema(columns: list[Column]) -> pa.Schema:
    return pa.schema([(each.name, _wire(each)) for each in columns])


def _wire(column: Column) -> pa.DataType:
    if column.jsonb:
        return pa.binary()
    kind = column.takes
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
