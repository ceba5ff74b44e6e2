"""What of a task's inputs is a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain
from typing import Any

import pyarrow as pa

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError

# All that Arrow says of values it has no column for; UnicodeEncodeError is half of a surrogate pair.
_NO_COLUMN = (
    pa.ArrowInvalid,
    pa.ArrowTypeError,
    pa.ArrowNotImplementedError,
    OverflowError,
    UnicodeEncodeError,
)


def table_of(name: str, value: Value) -> pa.Table | None:
    """The Arrow table behind a frame, a list of rows, a mapping of columns or an SQL result; None for anything else.

    Raises:
        ToolError: rows or columns whose values no column of one type holds.
    """
    match value:
        case {"rows": rows, "columns": _, "row_count": _}:
            return table_of(name, rows)
        case [dict(), *_] if all(isinstance(row, dict) for row in value):
            return _of_rows(name, value)
        case dict() if value and _are_columns(list(value.values())):
            return _built(
                name, lambda: pa.table({key: _column(name, key, each) for key, each in value.items()})
            )
        case pa.Table():
            return value
        case _ if hasattr(value, "arrow"):
            return value.arrow()
        case _ if hasattr(value, "__arrow_c_stream__"):
            return pa.table(value)
        case _:
            return None


def _are_columns(values: list[Any]) -> bool:
    return all(isinstance(v, list) for v in values) and len({len(v) for v in values}) == 1


def _of_rows(name: str, rows: list[dict[str, Value]]) -> pa.Table | None:
    if not any(rows):
        return None
    # An array of structs takes the union of all keys; Table.from_pylist would take those of the first row alone.
    return _built(name, lambda: pa.Table.from_struct_array(_column(name, "", rows)))


def _column(name: str, key: str, values: list[Any]) -> pa.Array:
    column = pa.array(values)
    for mixed in _mixed(key, column.type, values):
        raise _refused(name, f"column '{mixed}' mixes dates and datetimes, or those with a zone and without")
    return column


def _mixed(key: str, kind: pa.DataType, values: list[Any]) -> Iterator[str]:
    """The columns of such a mixture: Arrow makes all of it what the first value is, or dates, and tells nobody."""
    if not _has_days(kind):
        return
    there = [each for each in values if each is not None]
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _mixed(field.name, field.type, [each.get(field.name) for each in there])
    elif pa.types.is_nested(kind):
        yield from _mixed(key, kind.value_type, list(chain.from_iterable(there)))
    elif len({(isinstance(each, datetime), getattr(each, "tzinfo", None) is None) for each in there}) > 1:
        yield key


def _has_days(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_days(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def _built(name: str, build: Callable[[], pa.Table]) -> pa.Table:
    try:
        return build()
    except _NO_COLUMN as error:
        raise _refused(name, str(error)) from error


def _refused(name: str, why: str) -> ToolError:
    return ToolError(
        f"the rows of input '{name}' are no table ({why}); give each column one type, integers of 64 bits at most",
        kind="validation",
    )
