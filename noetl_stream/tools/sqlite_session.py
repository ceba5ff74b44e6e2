"""One sqlite task: its connection, its statements in order, its rows as columns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import date, time
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import orjson
import pyarrow as pa

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools import inbox
from noetl_stream.tools.sql import Statement, dealt, sql_result
from noetl_stream.tools.sql_config import SqlConfig
from noetl_stream.tools.sql_text import SqlText, statements
from noetl_stream.tools.sqlite_locks import connected, is_locked, patiently

_Done = TypeVar("_Done")


class SqliteSession:
    """One task's connection. `patience` is how long, in seconds, it waits for another's lock. `once` is the key of an
    effect that happens exactly once."""

    def __init__(self, config: SqlConfig, patience: float, once: str | None = None) -> None:
        self._config, self._patience, self._once = config, patience, once
        self._stop = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._place = ""

    def run(self, text: str) -> dict[str, Any]:
        try:
            return self._run(text)
        except sqlite3.Error as error:
            raise _failed(error, self._place) from error

    def stop(self) -> None:
        self._stop.set()
        if self._connection is not None:
            with suppress(sqlite3.ProgrammingError):  # the thread has just closed it
                self._connection.interrupt()

    def _run(self, text: str) -> dict[str, Any]:
        found = list(_whole(statements(text)))
        values = dealt(self._config.params, [each.places for each in found])
        if self._once is not None:
            inbox.check_whole(each.text for each in found)
            inbox.check_kept(self._config.database)
        with closing(connected(self._config.database)) as connection:
            self._connection = connection
            if self._once is not None:
                return sql_result(self._execute_once(connection, self._once, found, values))
            return sql_result(self._execute_all(connection, found, values))

    def _execute_once(
        self, connection: sqlite3.Connection, key: str, found: list[SqlText], values: list[Any]
    ) -> list[Statement]:
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
        connection.execute(inbox.CREATE)
        if connection.execute(inbox.CLAIM, (key, inbox.moment())).rowcount == 0:
            return inbox.unpacked(connection.execute(inbox.LOOK, (key,)).fetchone()[0])
        done = self._each(connection, found, values)
        connection.execute(inbox.KEEP, (inbox.packed(done), key))
        self._patiently(lambda: connection.execute("COMMIT"))
        return done

    def _execute_all(
        self, connection: sqlite3.Connection, found: list[SqlText], values: list[Any]
    ) -> list[Statement]:
        if self._config.transaction:
            self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
        done = self._each(connection, found, values)
        if self._config.transaction:
            self._patiently(lambda: connection.execute("COMMIT"))
        return done

    def _each(
        self, connection: sqlite3.Connection, found: list[SqlText], values: list[Any]
    ) -> list[Statement]:
        done = []
        for number, (each, given) in enumerate(zip(found, values, strict=True)):
            self._place = f"command_{number}: "
            done.append(self._patiently(partial(_execute, connection, each, given)))
        return done

    def _patiently(self, act: Callable[[], _Done]) -> _Done:
        return patiently(act, self._patience, self._stop)


def _whole(parts: Iterator[SqlText]) -> Iterator[SqlText]:
    """Statements as sqlite sees them: the body of a trigger has semicolons of its own."""
    whole = SqlText(text="")
    for part in parts:
        whole = SqlText(text=f"{whole.text}{part.text};", places=(*whole.places, *part.places))
        if sqlite3.complete_statement(whole.text):
            yield whole
            whole = SqlText(text="")
    if whole.text:
        yield whole


def _execute(connection: sqlite3.Connection, statement: SqlText, values: Any) -> Statement:
    match values:
        case None:
            bound: Any = ()
        case dict():
            bound = {name: _bindable(value) for name, value in values.items()}
        case _:
            bound = [_bindable(value) for value in values]
    cursor = connection.execute(statement.text, bound)
    if cursor.description is None:
        return Statement(affected=max(0, cursor.rowcount))
    names = [column[0] for column in cursor.description]
    rows = cursor.fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return Statement(table=pa.Table.from_arrays([_column(each) for each in columns], names=names))


def _bindable(value: Value) -> Any:
    """What sqlite can hold of a value: a mapping or a list as JSON, an exact decimal or a date as text."""
    match value:
        case dict() | list() | tuple():
            return orjson.dumps(value, default=str).decode()
        case date() | time():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _:
            return value


def _column(values: tuple[Any, ...]) -> pa.Array:
    """One type for a column; where its values have several, as sqlite lets them, all are text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 or kinds == {int, float}:
        with suppress(pa.ArrowInvalid):  # an integer that no float equals
            return pa.array(values)
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _failed(error: sqlite3.Error, place: str) -> ToolError:
    code = getattr(error, "sqlite_errorname", type(error).__name__)
    return ToolError(f"{place}{error}", kind="sql", code=code, retryable=is_locked(error))
