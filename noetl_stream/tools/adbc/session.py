"""One task on an ADBC connection: its statements in order, rows as the driver's own Arrow, and a stop from another thread."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import pyarrow as pa
from adbc_driver_manager import Error

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.adbc.binding import Bound, bound_statements, brings_rows
from noetl_stream.tools.adbc.drivers import Route
from noetl_stream.tools.adbc.failing import connecting_failed, statement_failed
from noetl_stream.tools.sql import Statement, sql_result
from noetl_stream.tools.sql_config import StatementsConfig
from noetl_stream.tools.tables import table_of

_WORD: Final = re.compile(r"\w+")


class AdbcSession:
    """One task's connection. `most_bytes` bounds one result set, which a worker holds in memory."""

    def __init__(
        self,
        route: Route,
        secret: Secret,
        config: StatementsConfig,
        inputs: Mapping[str, Value],
        most_bytes: int,
    ) -> None:
        self._route, self._secret, self._config = route, secret, config
        self._inputs, self._most = inputs, most_bytes
        self._stop, self._closing = threading.Event(), threading.Lock()
        self._cursor: Any = None
        self._place = ""

    def run(self, text: str) -> dict[str, Any]:
        work = bound_statements(text, self._config.params, self._route.places)
        with self._connected() as connection:
            try:
                return sql_result(self._run(connection, text, work))
            except Error as error:
                raise statement_failed(error, self._place, self._secret) from error

    def stop(self) -> None:
        self._stop.set()
        with self._closing:
            if self._cursor is not None:
                with suppress(Error):  # nothing runs there
                    self._cursor.adbc_cancel()

    def _run(self, connection: Any, text: str, work: Sequence[Bound]) -> list[Statement]:
        self._check_going()
        self._load(text)
        done = []
        for number, (each, values) in enumerate(work):
            self._place = f"command_{number}: "
            self._check_going()
            done.append(self._execute(each, values))
        if self._config.transaction:
            self._place = "COMMIT: "
            self._check_going()
            connection.adbc_connection.commit()
        return done

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        try:
            connection = self._route.connect(transaction=self._config.transaction)
        except Error as error:
            # What it stands on may hold the address.
            raise connecting_failed(error, self._secret) from None
        try:
            self._cursor = connection.cursor()
            yield connection
        finally:
            self._close(connection)

    def _close(self, connection: Any) -> None:
        with self._closing:
            cursor, self._cursor = self._cursor, None
            for each in (cursor, connection):
                with suppress(Error):  # a connection that broke has nothing to take back
                    each.close()

    def _load(self, text: str) -> None:
        """A temporary table for each input that is a table and that the SQL names."""
        words = set(_WORD.findall(text))
        for name, value in self._inputs.items():
            if name in words and (table := table_of(name, value)) is not None:
                self._place = f"input '{name}': "
                self._cursor.adbc_ingest(name, table, mode="create", temporary=True)

    def _execute(self, text: str, values: list[Any]) -> Statement:
        try:
            if self._route.updates and not brings_rows(text):
                self._cursor.executemany(text, [values] if values else None)
                return Statement(affected=max(0, self._cursor.rowcount))
            self._cursor.execute(text, values or None)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise ToolError(f"{self._place}a parameter cannot be bound ({error})", kind="sql") from error
        if not self._cursor.description:
            return Statement(affected=max(0, self._cursor.rowcount))
        reader = self._cursor.fetch_record_batch()
        return Statement(
            table=pa.Table.from_batches(map(_plain, self._bounded(reader)), _plain_schema(reader.schema))
        )

    def _bounded(self, reader: Any) -> Iterator[pa.RecordBatch]:
        held = 0
        for batch in reader:
            self._check_going()
            held += batch.nbytes
            if held > self._most:
                raise ToolError(
                    f"{self._place}the result is larger than {self._most:,} bytes; select less",
                    kind="sql",
                    code="too_large",
                )
            yield batch

    def _check_going(self) -> None:
        if self._stop.is_set():
            raise ToolError(f"{self._place}stopped", kind="cancelled")


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Types that only the driver knows, as what they are stored as."""
    columns = [each.storage if isinstance(each, pa.ExtensionArray) else each for each in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=_plain_schema(batch.schema))


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        (each.name, each.type.storage_type if isinstance(each.type, pa.BaseExtensionType) else each.type)
        for each in schema
    )
