"""Inputs that are tables, as temporary tables of their names: they arrive by COPY."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Mapping
from typing import Final

import orjson
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from pyarrow import csv

from noetl_stream.core.values import Value
from noetl_stream.tools.postgres.failing import statement_failed
from noetl_stream.tools.tables import table_of

_ROWS: Final = 50_000
_WORD: Final = re.compile(r"\w+")
_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.uint8(): "smallint",
    pa.int16(): "smallint",
    pa.uint16(): "integer",
    pa.int32(): "integer",
    pa.uint32(): "bigint",
    pa.int64(): "bigint",
    pa.float16(): "real",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.date64(): "date",
}


async def load_inputs(connection: psycopg.AsyncConnection, inputs: Mapping[str, Value], text: str) -> None:
    """A temporary table for each input that is a table and that the SQL names.

    Raises:
        ToolError: one cannot be written there.
    """
    words = set(_WORD.findall(text))
    for name, value in inputs.items():
        if name in words and (table := table_of(name, value)) is not None:
            try:
                await _load(connection, name, table)
            except psycopg.Error as error:
                raise statement_failed(error, f"input '{name}': ", "") from error


async def _load(connection: psycopg.AsyncConnection, name: str, table: pa.Table) -> None:
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(field.name), sql.SQL(column_type(field.type)))
        for field in table.schema
    ]
    temporary = sql.Identifier("pg_temp", name)
    await connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(sql.Identifier(name), sql.SQL(", ").join(columns))
    )
    filling = sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(temporary)
    async with connection.cursor() as cursor, cursor.copy(filling) as copy:
        for batch in table.to_batches(max_chunksize=_ROWS):
            await copy.write(await asyncio.to_thread(_csv, batch))
    await connection.execute(sql.SQL("ANALYZE {}").format(temporary))


def column_type(kind: pa.DataType) -> str:
    """The type of PostgreSQL that holds an Arrow column."""
    if kind in _TYPES:
        return _TYPES[kind]
    if pa.types.is_decimal(kind) or kind == pa.uint64():
        return "numeric"
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamptz"
    if pa.types.is_time(kind):
        return "time"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "bytea"
    return "jsonb" if pa.types.is_nested(kind) else "text"


def _csv(batch: pa.RecordBatch) -> bytes:
    """As COPY reads it: a null is nothing at all, an empty text a pair of quotes."""
    written = io.BytesIO()
    columns = [_writable(column) for column in batch.columns]
    options = csv.WriteOptions(include_header=False)
    csv.write_csv(pa.RecordBatch.from_arrays(columns, names=batch.schema.names), written, options)
    return written.getvalue()


def _writable(column: pa.Array) -> pa.Array:
    kind = column_type(column.type)
    match kind:
        case "bytea":
            return pa.array(
                [None if each is None else rf"\x{each.hex()}" for each in column.to_pylist()], pa.string()
            )
        case "jsonb":
            return pa.array(
                [None if each is None else _json(each) for each in column.to_pylist()], pa.string()
            )
        case "numeric":
            return column.cast(pa.string())
        case "timestamptz":
            return pc.cast(column, pa.timestamp("us", "UTC"), safe=False)
        case "text":
            return column.cast(pa.string())
        case _:
            return column


def _json(value: Value) -> str:
    return orjson.dumps(value, default=str).decode()
