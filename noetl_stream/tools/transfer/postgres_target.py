"""Rows into PostgreSQL: one COPY BINARY in one transaction, straight into the table or by a staging table of this session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from noetl_stream.errors import ToolError
from noetl_stream.tools.inbox import CREATE
from noetl_stream.tools.transfer.columns import check_columns
from noetl_stream.tools.transfer.config import Mode
from noetl_stream.tools.transfer.naming import qualified, quoted
from noetl_stream.tools.transfer.once import Summary, claim, keep, marked
from noetl_stream.tools.transfer.postgres import PostgresLink
from noetl_stream.tools.transfer.postgres_columns import (
    COLUMNS,
    Column,
    column_of,
    encoded,
    encoded_schema,
    type_name,
)

_STAGE: Final = "noetl_transfer"


class PostgresTarget:
    def __init__(
        self, address: str, table: str, mode: Mode, keys: list[str], said: str, key: str | None = None
    ) -> None:
        """`key` is the effect's, if that is to happen exactly once."""
        self.said = said
        self._link = PostgresLink(address, said)
        self._table, self._mode, self._keys, self._key = table, mode, keys, key
        self._columns: list[Column] = []

    def open(self, schema: pa.Schema) -> pa.Schema:
        self._cursor = self._link.connect()
        with self._link.errors():
            if self._key is not None:
                self._prepare_inbox()
                claim(self._key, self._ask)
            found = self._link.rows(COLUMNS, [qualified(self._table)])
            if not found:
                self._create(schema)
                found = self._link.rows(COLUMNS, [qualified(self._table)])
        there = {row[0]: row for row in found}
        self._place = found[0][-2:]
        check_columns(schema, there, self._keys, self.said)
        self._columns = [column_of(there[field.name], field.type) for field in schema]
        return pa.schema([(column.name, column.takes) for column in self._columns])

    def write(self, rows: pa.RecordBatchReader, summary: Summary) -> None:
        columns = self._columns
        wire = pa.RecordBatchReader.from_batches(
            encoded_schema(columns), (encoded(batch, columns) for batch in rows)
        )
        with self._link.errors():
            if self._mode == "replace":
                self._cursor.execute(f"TRUNCATE {qualified(self._table)}")
            if self._mode == "upsert" or any(column.cast for column in columns):
                self._by_stage(wire)
            else:
                schema, table = self._place
                self._cursor.adbc_ingest(table, wire, mode="append", db_schema_name=schema)
            keep(self._key, self._ask, summary)
            self._link.commit()

    def stop(self) -> None:
        self._link.stop()

    def close(self) -> None:
        self._link.close()

    def _ask(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._link.rows(marked(text), values)

    def _prepare_inbox(self) -> None:
        """It is there, perhaps since an administrator made it, before the transaction begins."""
        if not self._link.rows("SELECT to_regclass('noetl_inbox') IS NOT NULL")[0][0]:
            # Two who make it at once collide, whatever they say: one after the other they do not.
            self._cursor.execute("SELECT pg_advisory_xact_lock(hashtext('noetl_inbox'))")
            self._cursor.execute(CREATE)
        self._link.commit()

    def _create(self, schema: pa.Schema) -> None:
        parts = [f"{quoted(field.name)} {type_name(field.type)}" for field in schema]
        if self._mode == "upsert":
            parts.append(f"PRIMARY KEY ({_listed(self._keys)})")
        self._cursor.execute(f"CREATE TABLE {qualified(self._table)} ({', '.join(parts)})")

    def _by_stage(self, wire: pa.RecordBatchReader) -> None:
        parts = (f"{quoted(column.name)} {column.staged}" for column in self._columns)
        self._cursor.execute(f"CREATE TEMPORARY TABLE {_STAGE} ({', '.join(parts)}) ON COMMIT DROP")
        self._cursor.adbc_ingest(_STAGE, wire, mode="append", temporary=True)
        self._check_staged()
        names = [column.name for column in self._columns]
        values = ", ".join(_value(column) for column in self._columns)
        into = f"INSERT INTO {qualified(self._table)} ({_listed(names)})"
        if self._mode != "upsert":
            self._cursor.execute(f"{into} SELECT {values} FROM {_STAGE}")
            return
        keys = _listed(self._keys)
        # Of several rows with one key the last counts, as if they had come one by one.
        last = f"SELECT DISTINCT ON ({keys}) * FROM {_STAGE} ORDER BY {keys}, ctid DESC"
        self._cursor.execute(
            f"{into} SELECT {values} FROM ({last}) AS last ON CONFLICT ({keys}) DO {self._change(names)}"
        )

    def _check_staged(self) -> None:
        """What the server reads from text it would round without a word."""
        for column in self._columns:
            if not column.cast or column.rounds is None:
                continue
            name = quoted(column.name)
            found = self._link.rows(f"SELECT {name}::text FROM {_STAGE} WHERE {column.rounds} LIMIT 1")
            if found:
                raise ToolError(
                    f"column '{column.name}': '{found[0][0]}' is no {column.declared}: it would be rounded or cut; "
                    "cast it in the source, or give the target another type",
                    kind="validation",
                )

    def _change(self, names: list[str]) -> str:
        changed = [name for name in names if name not in self._keys]
        if not changed:
            return "NOTHING"
        return "UPDATE SET " + ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in changed)


def _value(column: Column) -> str:
    return f"{quoted(column.name)}::{column.declared}" if column.cast else quoted(column.name)


def _listed(names: list[str]) -> str:
    return ", ".join(quoted(name) for name in names)
