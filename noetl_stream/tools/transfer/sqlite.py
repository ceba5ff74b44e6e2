"""SQLite at either end, in one transaction. Its values have types, its columns do not: a look at all of them finds one for each."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from noetl_stream.errors import ToolError
from noetl_stream.tools.inbox import CREATE
from noetl_stream.tools.sqlite_locks import connected, is_locked, patiently
from noetl_stream.tools.transfer.columns import check_columns
from noetl_stream.tools.transfer.config import Mode
from noetl_stream.tools.transfer.existing import existing_file
from noetl_stream.tools.transfer.naming import qualified, quoted
from noetl_stream.tools.transfer.once import Summary, claim, keep

_PATIENCE: Final = 5.0
"""Seconds that it waits for another's lock."""
_TYPES: Final = {
    frozenset({"integer"}): pa.int64(),
    frozenset({"real"}): pa.float64(),
    frozenset({"integer", "real"}): pa.float64(),
    frozenset({"blob"}): pa.binary(),
}
_AS_THEY_ARE: Final = (
    (pa.types.is_integer, "INTEGER"),
    (pa.types.is_boolean, "INTEGER"),
    (pa.types.is_floating, "REAL"),
    (pa.types.is_binary, "BLOB"),
)


class SqliteLink:
    """One connection and its transaction. Only `stop` is called from another thread."""

    def __init__(self, database: str, said: str) -> None:
        self._database, self._said = database, said
        self._connection: sqlite3.Connection | None = None
        self._stop = threading.Event()

    def connect(self, begin: str) -> sqlite3.Connection:
        with self.errors():
            connection = self._connection = connected(self._database)
            self.patiently(connection, begin)
        return connection

    def patiently(self, connection: sqlite3.Connection, statement: str) -> sqlite3.Cursor:
        """Run what may have to wait for another's lock."""
        return patiently(lambda: connection.execute(statement), _PATIENCE, self._stop)

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _failed(error, self._said) from error

    def stop(self) -> None:
        self._stop.set()
        if self._connection is not None:
            with suppress(sqlite3.ProgrammingError):  # it has just been closed
                self._connection.interrupt()

    def close(self) -> None:
        """What was not committed is taken back."""
        if self._connection is not None:
            self._connection.close()


class SqliteSource:
    def __init__(self, database: str, query: str, said: str) -> None:
        self.said = said
        self._database, self._query = database, query.rstrip("; \n")
        self._link = SqliteLink(database, said)

    def open(self) -> pa.Schema:
        existing_file(self._database, self.said)
        self._connection = self._link.connect("BEGIN")
        with self._link.errors():
            # The first read takes the lock that the others then have.
            none = self._link.patiently(self._connection, f"SELECT * FROM ({self._query}) LIMIT 0")
            names = [each[0] for each in none.description]
            asked = (f"group_concat(DISTINCT typeof({quoted(name)}))" for name in names)
            kinds = self._connection.execute(f"SELECT {', '.join(asked)} FROM ({self._query})").fetchone()
        self._schema = pa.schema([(name, _type(kind)) for name, kind in zip(names, kinds, strict=True)])
        return self._schema

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        with self._link.errors():
            cursor = self._connection.execute(self._query)
            while found := cursor.fetchmany(rows):
                columns = zip(*found, strict=True)
                arrays = [_column(each, field) for each, field in zip(columns, self._schema, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def stop(self) -> None:
        self._link.stop()

    def close(self) -> None:
        self._link.close()


class SqliteTarget:
    def __init__(
        self, database: str, table: str, mode: Mode, keys: list[str], said: str, key: str | None = None
    ) -> None:
        """`key` is the effect's, if that is to happen exactly once."""
        self.said = said
        self._link = SqliteLink(database, said)
        self._table, self._mode, self._keys, self._key = qualified(table), mode, keys, key

    def open(self, schema: pa.Schema) -> pa.Schema:
        self._connection = self._link.connect("BEGIN IMMEDIATE")
        with self._link.errors():
            if self._key is not None:
                self._connection.execute(CREATE)
                claim(self._key, self._ask)
            if not self._columns():
                self._create(schema)
            there = self._columns()
        check_columns(schema, there, self._keys, self.said)
        return pa.schema([(field.name, _taken(field.type, there[field.name])) for field in schema])

    def write(self, rows: pa.RecordBatchReader, summary: Summary) -> None:
        names = rows.schema.names
        places = ", ".join("?" for _ in names)
        listed = ", ".join(quoted(name) for name in names)
        insert = f"INSERT INTO {self._table} ({listed}) VALUES ({places}){self._on_conflict(names)}"
        with self._link.errors():
            if self._mode == "replace":
                self._connection.execute(f"DELETE FROM {self._table}")
            for batch in rows:
                columns = [_bound(*each) for each in zip(names, batch.columns, strict=True)]
                self._connection.executemany(insert, zip(*columns, strict=True))
            keep(self._key, self._ask, summary)
            self._link.patiently(self._connection, "COMMIT")

    def stop(self) -> None:
        self._link.stop()

    def close(self) -> None:
        self._link.close()

    def _ask(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(text, values).fetchall()

    def _columns(self) -> dict[str, str]:
        """Each with its declared type."""
        schema, _, table = self._table.rpartition(".")
        at = f"{schema}." if schema else ""
        return {row[1]: row[2] for row in self._connection.execute(f"PRAGMA {at}table_info({table})")}

    def _create(self, schema: pa.Schema) -> None:
        parts = [f"{quoted(field.name)} {_declared(field.type)}" for field in schema]
        if self._mode == "upsert":
            parts.append(f"PRIMARY KEY ({', '.join(map(quoted, self._keys))})")
        self._connection.execute(f"CREATE TABLE {self._table} ({', '.join(parts)})")

    def _on_conflict(self, names: list[str]) -> str:
        if self._mode != "upsert":
            return ""
        changed = ", ".join(f"{quoted(n)} = excluded.{quoted(n)}" for n in names if n not in self._keys)
        act = f"UPDATE SET {changed}" if changed else "NOTHING"
        return f" ON CONFLICT ({', '.join(map(quoted, self._keys))}) DO {act}"


def _type(kinds: str | None) -> pa.DataType:
    """One type for all values of a column; where they are of several, text."""
    found = frozenset((kinds or "").split(",")) - {"null", ""}
    return _TYPES.get(found, pa.string())


def _column(values: tuple[Any, ...], field: pa.Field) -> pa.Array:
    if pa.types.is_string(field.type):
        values = tuple(each if each is None or isinstance(each, str) else _text(each) for each in values)
    elif pa.types.is_floating(field.type):
        values = tuple(each if each is None else _float(each) for each in values)
    return pa.array(values, field.type)


def _float(value: int | float) -> float:
    if Decimal(value) != Decimal(float(value)):
        raise ToolError(
            f"the integer {value} is no float, and its column has both; cast it to text", kind="validation"
        )
    return float(value)


def _text(value: int | float | bytes) -> str:
    return value.decode(errors="strict") if isinstance(value, bytes) else str(value)


def _declared(kind: pa.DataType) -> str:
    return next((name for is_one, name in _AS_THEY_ARE if is_one(kind)), "TEXT")


def _bound(name: str, column: pa.Array) -> list[Any]:
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        raise ToolError(
            f"column '{name}': sqlite has no NaN, and would hold null; cast it to text in the source",
            kind="validation",
        )
    values: list[Any] = column.to_pylist()
    return values


def _makes_numbers(declared: str) -> bool:
    """Whether sqlite turns text that looks like a number into one, with some 15 digits. Source: sqlite.org/datatype3.html, 3.1."""
    name = declared.upper()
    if "INT" in name:
        return True
    return bool(name) and not any(word in name for word in ("CHAR", "CLOB", "TEXT", "BLOB"))


def _taken(kind: pa.DataType, declared: str) -> pa.DataType:
    """As it is where sqlite has it; decimals, moments and all else as text, which is exact where it stays text."""
    if pa.types.is_decimal(kind) and _makes_numbers(declared):
        return pa.int64() if kind.scale == 0 else pa.float64()
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return pa.int64()
    return kind if _declared(kind) != "TEXT" else pa.string()


def _failed(error: sqlite3.Error, said: str) -> ToolError:
    code = getattr(error, "sqlite_errorname", type(error).__name__)
    hint = (
        "; `mode: upsert` needs a unique index on exactly its `keys`"
        if "ON CONFLICT clause" in str(error)
        else ""
    )
    return ToolError(f"{said}: {error}{hint}", kind="sql", code=code, retryable=is_locked(error))
