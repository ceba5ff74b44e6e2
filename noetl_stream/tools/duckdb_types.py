"""Types of duckdb that an Arrow table does not carry unharmed, or that not every reader of it takes: they become text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

# Arrow's export drops the zone of a time, wraps large integers, and yields bits and bignums as bytes of duckdb's own;
# Polars reads neither intervals nor unions.
_AS_TEXT = dict.fromkeys(("interval", "time with time zone", "bit", "uhugeint", "bignum", "union"), "VARCHAR")
_CARRIED = {**_AS_TEXT, "hugeint": "DECIMAL(38, 0)"}


def arrow_table(relation: duckdb.DuckDBPyRelation) -> pa.Table:
    """The relation's rows. Sums of integers, 128 bits wide in duckdb, are 64 bits wide where that holds them."""
    kinds = relation.types
    casts = [_cast(kind, _AS_TEXT) for kind in kinds]
    table = (_projected(relation, casts) if any(casts) else relation).to_arrow_table()
    for index, kind in enumerate(kinds):
        if kind.id == "hugeint":
            table = _narrowed(table, index)
    return table


def carried(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The relation with all that Arrow would harm as text, and integers of 128 bits as decimals."""
    casts = [_cast(kind, _CARRIED) for kind in relation.types]
    return _projected(relation, casts) if any(casts) else relation


def _projected(relation: duckdb.DuckDBPyRelation, casts: list[str | None]) -> duckdb.DuckDBPyRelation:
    columns = (
        f"#{number}" if cast is None else f"CAST(#{number} AS {cast}) AS {_quoted(name)}"
        for number, (name, cast) in enumerate(zip(relation.columns, casts, strict=True), start=1)
    )
    return relation.project(", ".join(columns))


def _cast(kind: Any, others: Mapping[str, str]) -> str | None:
    """What to read a type as, of which `others` are read as something else; None: as it is."""
    if kind.id in others:
        return others[kind.id]
    if kind.id not in ("list", "array", "map", "struct"):
        return None
    parts = dict(kind.children)
    found = {name: _cast(part, others) for name, part in parts.items() if name != "size"}
    if not any(found.values()):
        return None
    inner = {name: cast or str(parts[name]) for name, cast in found.items()}
    match kind.id:
        case "list":
            return f"{inner['child']}[]"
        case "array":
            return f"{inner['child']}[{parts['size']}]"
        case "map":
            return f"MAP({inner['key']}, {inner['value']})"
        case _:
            return f"STRUCT({', '.join(f'{_quoted(name)} {cast}' for name, cast in inner.items())})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _narrowed(table: pa.Table, index: int) -> pa.Table:
    try:
        column = table.column(index).cast(pa.int64())
    except pa.ArrowInvalid:
        return table
    return table.set_column(index, table.field(index).with_type(pa.int64()), column)
