"""DuckDB at either end: its own Arrow scan and export, one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import duckdb
import pyarrow as pa

from noetl_stream.errors import ToolError
from noetl_stream.tools.duckdb import SETTINGS
from noetl_stream.tools.duckdb_types import carried
from noetl_stream.tools.inbox import CREATE
from noetl_stream.tools.transfer.columns import JSON, UUID, check_columns, is_list, plain_type
from noetl_stream.tools.transfer.config import Mode
from noetl_stream.tools.transfer.existing import existing_file
from noetl_stream.tools.transfer.naming import qualified, quoted
from noetl_stream.tools.transfer.once import Summary, claim, keep

_SETTINGS: Final = {
    "arrow_lossless_conversion": "true",
    "TimeZone": "UTC",
    # Reads of URLs would pass by the guard of the http tool.
    "disabled_filesystems": "HTTPFileSystem",
}
_ROWS = "noetl_transfer_rows"
_STAGE = "noetl_transfer_stage"


class DuckdbLink:
    """One connection and its transaction. Only `stop` is called from another thread."""

    def __init__(self, database: str, settings: Mapping[str, str], said: str) -> None:
        self._database, self._settings, self._said = database, settings, said
        self._connection: duckdb.DuckDBPyConnection | None = None

    def connect(self, *, must_exist: bool) -> duckdb.DuckDBPyConnection:
        with self.errors():
            if must_exist:
                existing_file(self._database, self._said)
            self._connection = duckdb.connect(self._database, config={**SETTINGS, **self._settings})
            for name, value in _SETTINGS.items():
                self._connection.execute(f"SET {name} = '{value}'")
            self._connection.begin()
        return self._connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise _failed(error, self._said) from error

    def stop(self) -> None:
        if self._connection is not None:
            with suppress(duckdb.ConnectionException):  # it has just been closed
                self._connection.interrupt()

    def close(self) -> None:
        """What was not committed is taken back."""
        if self._connection is not None:
            self._connection.close()


class DuckdbSource:
    def __init__(self, database: str, query: str, settings: Mapping[str, str], said: str) -> None:
        self.said = said
        self._link, self._query = DuckdbLink(database, settings, said), query

    def open(self) -> pa.Schema:
        connection = self._link.connect(must_exist=True)
        with self._link.errors():
            self._relation = carried(connection.sql(self._query.rstrip("; \n")))
            return self._relation.limit(0).to_arrow_reader(1).schema

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        with self._link.errors():
            yield from self._relation.to_arrow_reader(rows)

    def stop(self) -> None:
        self._link.stop()

    def close(self) -> None:
        self._link.close()


class DuckdbTarget:
    def __init__(
        self,
        database: str,
        table: str,
        mode: Mode,
        keys: list[str],
        settings: Mapping[str, str],
        said: str,
        key: str | None = None,
    ) -> None:
        """`key` is the effect's, if that is to happen exactly once."""
        self.said = said
        self._link = DuckdbLink(database, settings, said)
        self._table, self._mode, self._keys, self._key = qualified(table), mode, keys, key

    def open(self, schema: pa.Schema) -> pa.Schema:
        self._connection = self._link.connect(must_exist=False)
        with self._link.errors():
            if self._key is not None:
                self._connection.execute(CREATE)
                claim(self._key, self._ask)
            there = self._columns()
            if there is None:
                self._create(schema)
                there = self._columns() or {}
        check_columns(schema, there, self._keys, self.said)
        takes = [_taken(there[field.name], field.type) for field in schema]
        return pa.schema(list(zip(schema.names, takes, strict=True)))

    def write(self, rows: pa.RecordBatchReader, summary: Summary) -> None:
        names = ", ".join(quoted(name) for name in rows.schema.names)
        connection = self._connection
        with self._link.errors():
            connection.register(_ROWS, rows)
            if self._mode == "replace":
                connection.execute(f"DELETE FROM {self._table}")
            if self._mode == "upsert":
                self._merge(rows.schema.names)
            else:
                connection.execute(f"INSERT INTO {self._table} ({names}) SELECT * FROM {_ROWS}")
            keep(self._key, self._ask, summary)
            connection.commit()

    def stop(self) -> None:
        self._link.stop()

    def close(self) -> None:
        self._link.close()

    def _ask(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(text, values).fetchall()

    def _columns(self) -> dict[str, pa.DataType] | None:
        """Their types as duckdb itself hands them out."""
        try:
            relation = self._connection.sql(f"SELECT * FROM {self._table} LIMIT 0")
        except duckdb.CatalogException:
            return None
        there = carried(relation).to_arrow_table().schema
        return {field.name: plain_type(field.type) for field in there}

    def _create(self, schema: pa.Schema) -> None:
        takes = [_created(field.type) for field in schema]
        empty = pa.schema(list(zip(schema.names, takes, strict=True))).empty_table()
        self._connection.register("noetl_transfer_columns", empty)
        self._connection.execute(f"CREATE TABLE {self._table} AS FROM noetl_transfer_columns")
        self._connection.unregister("noetl_transfer_columns")

    def _merge(self, names: list[str]) -> None:
        keys = ", ".join(quoted(key) for key in self._keys)
        self._connection.execute(f"CREATE TEMPORARY TABLE {_STAGE} AS FROM {_ROWS}")
        # Of several rows with one key the last counts, as if they had come one by one.
        last = (
            f"SELECT * FROM {_STAGE} QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY rowid DESC) = 1"
        )
        same = " AND ".join(f"there.{quoted(key)} = come.{quoted(key)}" for key in self._keys)
        changed = ", ".join(f"{quoted(n)} = come.{quoted(n)}" for n in names if n not in self._keys)
        listed, values = (", ".join(f"{of}{quoted(name)}" for name in names) for of in ("", "come."))
        update = f"WHEN MATCHED THEN UPDATE SET {changed} " if changed else ""
        self._connection.execute(
            f"MERGE INTO {self._table} AS there USING ({last}) AS come ON {same} {update}"
            f"WHEN NOT MATCHED THEN INSERT ({listed}) VALUES ({values})"
        )
        self._connection.execute(f"DROP TABLE {_STAGE}")


def _created(kind: pa.DataType) -> pa.DataType:
    """The type for a new column: decimals of more digits than duckdb has become text."""
    if pa.types.is_decimal256(kind):
        return pa.string()
    if pa.types.is_duration(kind):
        # An interval has no nanoseconds, and duckdb drops them.
        return pa.duration("us")
    if is_list(kind):
        return pa.list_(_created(kind.value_type))
    return kind


def _taken(there: pa.DataType, given: pa.DataType) -> pa.DataType:
    return there if there in (UUID, JSON) else _unrounded(there, given)


def _unrounded(there: pa.DataType, given: pa.DataType) -> pa.DataType:
    """duckdb rounds numbers and moments that its column does not hold, where Arrow refuses them. So is text read by Arrow, which rounds none."""
    if is_list(there) and is_list(given):
        return pa.list_(_unrounded(there.value_type, given.value_type))
    if any(is_one(there) and is_one(given) for is_one in (_is_number, pa.types.is_temporal)):
        return there
    if pa.types.is_string(given) and (_is_number(there) or pa.types.is_temporal(there)):
        return there
    return _created(given)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind))


def _failed(error: duckdb.Error, said: str) -> ToolError:
    locked = isinstance(error, duckdb.IOException) and "lock" in str(error)
    transient = locked or isinstance(error, duckdb.TransactionException)
    message = str(error).strip().partition("\n")[0]
    return ToolError(f"{said}: {message}", kind="sql", code=type(error).__name__, retryable=transient)
