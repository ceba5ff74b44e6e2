"""A result's rows as Polars columns to be checked, each of its declared type, and beside it which values are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
import polars as pl

from noetl_stream.core.values import Value
from noetl_stream.dsl.contracts import ColumnType, Family
from noetl_stream.ports.frames import Frame

Rows = Sequence[Mapping[str, Value]] | Frame

FITS = "fits "
"""Before a column's name: whether each of its values is of the declared type."""


def columns_of(rows: Rows) -> frozenset[str]:
    """The names of a table's columns; of a list, every key that any row has."""
    if isinstance(rows, Sequence):
        return frozenset().union(*rows)
    return frozenset(rows.arrow().column_names)


def typed(rows: Rows, names: Iterable[str], types: Mapping[str, ColumnType]) -> pl.DataFrame:
    """The columns `names`; for each that has a type, `fits NAME` too. What is of another type is null in its column."""
    if isinstance(rows, Sequence):
        return _of_rows(rows, names, types)
    return _of_table(rows, names, types)


def _of_rows(
    rows: Sequence[Mapping[str, Value]], names: Iterable[str], types: Mapping[str, ColumnType]
) -> pl.DataFrame:
    columns: list[pl.Series] = []
    for name in names:
        values = [row.get(name) for row in rows]
        if (declared := types.get(name)) is None:
            columns.append(_undeclared(name, values))
            continue
        read = [None if value is None else _read(value, declared) for value in values]
        columns.append(pl.Series(name, read, dtype=_DTYPES[declared.family]))
        fits = [value is None or found is not None for value, found in zip(values, read, strict=True)]
        columns.append(pl.Series(FITS + name, fits, dtype=pl.Boolean))
    return pl.DataFrame(columns)


def _undeclared(name: str, values: list[Value]) -> pl.Series:
    """A column of whatever its values have in common; their JSON, where that is nothing."""
    try:
        return pl.Series(name, values)
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series(name, [_json(value) for value in values], dtype=pl.String)


def _json(value: Value) -> str | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _read(value: Value, declared: ColumnType) -> Any:
    """A JSON value as one of its declared type; None if it is of another. Text is never taken for a number."""
    try:
        found = _READERS[declared.family](value)
    except (ValueError, InvalidOperation):
        return None
    return found if found is None or _in_range(found, declared) else None


def _in_range(value: Any, declared: ColumnType) -> bool:
    bits = declared.bits
    if bits is None:
        return True
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if declared.signed else (0, 2**bits)
    return bool(low <= value < high)


def _integer(value: Value) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _number(value: Value) -> float | None:
    return float(value) if type(value) in (int, float) else None


def _decimal(value: Value) -> float | None:
    """JSON has decimals as numbers or, where those would not be exact, as text."""
    return float(Decimal(value)) if isinstance(value, str) else _number(value)


def _text(kind: Callable[[str], Any]) -> Callable[[Value], Any]:
    return lambda value: kind(value) if isinstance(value, str) else None


def _datetime(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def _same(*kinds: type) -> Callable[[Value], Any]:
    return lambda value: value if type(value) in kinds else None


def _written(kind: type) -> Callable[[Value], Any]:
    return lambda value: _json(value) if isinstance(value, kind) else None


_READERS: Mapping[Family, Callable[[Value], Any]] = {
    "integer": _integer,
    "number": _number,
    "decimal": _decimal,
    "text": _same(str),
    "boolean": _same(bool),
    "date": _text(date.fromisoformat),
    "datetime": _text(_datetime),
    "time": _text(time.fromisoformat),
    "duration": lambda value: None if (n := _number(value)) is None else timedelta(seconds=n),
    "list": _written(list),
    "mapping": _written(dict),
    "binary": _same(str),
    "any": _json,
}
_DTYPES: Mapping[Family, Any] = {
    "integer": pl.Int128,
    "number": pl.Float64,
    "decimal": pl.Float64,
    "text": pl.String,
    "boolean": pl.Boolean,
    "date": pl.Date,
    "datetime": pl.Datetime("us"),
    "time": pl.Time,
    "duration": pl.Duration("us"),
    "list": pl.String,
    "mapping": pl.String,
    "binary": pl.String,
    "any": pl.String,
}


def _of_table(table: Frame, names: Iterable[str], types: Mapping[str, ColumnType]) -> pl.DataFrame:
    frame = table.polars().select(*names)
    found = frame.collect_schema()
    ways: list[pl.Expr] = []
    for name, dtype in found.items():
        declared = types.get(name)
        if declared is None:
            ways.append(pl.col(name))
            continue
        column = _converted(pl.col(name), dtype, declared)
        ways += [column, (pl.col(name).is_null() | column.is_not_null()).alias(FITS + name)]
    return frame.select(ways).collect()


def _converted(column: pl.Expr, dtype: pl.DataType, declared: ColumnType) -> pl.Expr:
    """The column itself where its type is of the declared family; else its values that can be told to be."""
    if dtype == pl.Null or _is_of(dtype, declared.family):
        return column if declared.bits is None else column.cast(_sized(declared), strict=False)
    match declared.family:
        case "integer" if dtype.is_float():
            return pl.when(column == column.floor()).then(column)
        case "date" | "datetime" | "time" if dtype == pl.String:
            return _parsed(column, declared.family)
        case _:
            return pl.when(column.is_null()).then(column)


def _parsed(column: pl.Expr, family: str) -> pl.Expr:
    match family:
        case "date":
            return column.str.to_date("%Y-%m-%d", strict=False)
        case "time":
            return column.str.to_time(strict=False)
        case _:
            return column.str.to_datetime(strict=False)


def _sized(declared: ColumnType) -> Any:
    return getattr(pl, declared.word.replace("uint", "UInt").replace("int", "Int"))


def _is_of(dtype: pl.DataType, family: Family) -> bool:
    match family:
        case "integer":
            return dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0)
        case "number" | "decimal":
            return dtype.is_numeric()
        case "list":
            return isinstance(dtype, pl.List | pl.Array)
        case "any":
            return True
        case _:
            return bool(isinstance(dtype, _KINDS[family]))


_KINDS: Mapping[str, Any] = {
    "text": pl.String | pl.Categorical | pl.Enum,
    "boolean": pl.Boolean,
    "date": pl.Date,
    "datetime": pl.Datetime | pl.Date,
    "time": pl.Time,
    "duration": pl.Duration,
    "mapping": pl.Struct,
    "binary": pl.Binary,
}
