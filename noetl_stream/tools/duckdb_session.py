"""One duckdb task: its connection, its statements in order, and a way to stop it from another thread."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import duckdb

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools import inbox
from noetl_stream.tools.duckdb_types import arrow_table
from noetl_stream.tools.sql import Statement, dealt, sql_result
from noetl_stream.tools.tables import table_of

if TYPE_CHECKING:
    from noetl_stream.tools.sql_config import SqlConfig

_RETURNING: Final = re.compile(rb"returning\b", re.IGNORECASE)


class DuckdbSession:
    """One task's connection. `once` is the key of an effect that happens exactly once; `attach` comes before all else."""

    def __init__(
        self,
        config: SqlConfig,
        inputs: Mapping[str, Value],
        settings: Mapping[str, str],
        once: str | None = None,
        attach: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
    ) -> None:
        self._once, self._attach = once, attach
        self._config, self._inputs, self._settings = config, inputs, settings
        self._stop = threading.Event()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._place = ""

    def run(self, text: str) -> dict[str, Any]:
        try:
            return self._run(text)
        except duckdb.Error as error:
            raise _failed(error, self._place) from error

    def stop(self) -> None:
        self._stop.set()
        if self._connection is not None:
            with suppress(duckdb.ConnectionException):  # the thread has just closed it
                self._connection.interrupt()

    def _run(self, text: str) -> dict[str, Any]:
        statements = duckdb.extract_statements(text)
        values = dealt(self._config.params, [statement.named_parameters for statement in statements])
        if self._once is not None:
            inbox.check_whole(each.query for each in statements)
            inbox.check_kept(self._config.database)
        with duckdb.connect(self._config.database, config=dict(self._settings)) as connection:
            self._connection = connection
            self._prepare(connection)
            work = list(zip(count(), statements, values))
            if self._once is not None:
                return sql_result(self._execute_once(connection, self._once, work))
            if self._config.transaction:
                connection.begin()
            done = [self._execute(connection, *each) for each in work]
            if self._config.transaction:
                connection.commit()
            return sql_result(done)

    def _execute_once(
        self, connection: duckdb.DuckDBPyConnection, key: str, work: Sequence[tuple[int, Any, Any]]
    ) -> list[Statement]:
        connection.begin()
        connection.execute(inbox.CREATE)
        found = connection.execute(inbox.LOOK, [key]).fetchone()
        if found is not None:
            return inbox.unpacked(found[0])
        connection.execute(inbox.CLAIM, [key, inbox.moment()])
        done = [self._execute(connection, *each) for each in work]
        connection.execute(inbox.KEEP, [inbox.packed(done), key])
        connection.commit()
        return done

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        # Reads of URLs would pass by the guard of the http tool.
        connection.execute("SET disabled_filesystems = 'HTTPFileSystem'")
        if self._attach is not None:
            self._attach(connection)
        for name, value in self._inputs.items():
            if (table := table_of(name, value)) is not None:
                connection.register(name, table)

    def _execute(
        self, connection: duckdb.DuckDBPyConnection, number: int, statement: Any, values: Any
    ) -> Statement:
        self._place = f"command_{number}: "
        if self._stop.is_set():
            raise duckdb.InterruptException("stopped")
        if _only_counts(statement):
            return _counted(connection.execute(statement, values))
        relation = connection.sql(statement, params=values)
        if relation is None or statement.expected_result_type == [duckdb.ExpectedResultType.NOTHING]:
            return Statement(affected=0)
        return Statement(table=arrow_table(relation))


def _only_counts(statement: Any) -> bool:
    """Whether it changes something and gives no rows of what it changed. As a relation it would not tell how many."""
    if duckdb.ExpectedResultType.CHANGED_ROWS not in statement.expected_result_type:
        return False
    text = statement.query.encode()
    keywords = (at for at, kind in duckdb.tokenize(statement.query) if kind == duckdb.token_type.keyword)
    return not any(_RETURNING.match(text, at) for at in keywords)


def _counted(connection: duckdb.DuckDBPyConnection) -> Statement:
    if [name for name, *_ in connection.description or ()] != ["Count"]:
        return Statement(table=connection.to_arrow_table())
    row = connection.fetchone()
    return Statement(affected=row[0] if row else 0)


def _failed(error: duckdb.Error, place: str) -> ToolError:
    # A file that another process holds is free again in a moment.
    locked = "database is locked" in str(error) or (
        isinstance(error, duckdb.IOException) and "lock" in str(error)
    )
    transient = locked or isinstance(error, duckdb.TransactionException)
    return ToolError(f"{place}{error}".strip(), kind="sql", code=type(error).__name__, retryable=transient)
