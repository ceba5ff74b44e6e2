"""The connection of either PostgreSQL end, through ADBC: Arrow and COPY BINARY meet in C. Its errors, as a task's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from adbc_driver_manager import Error, OperationalError
from adbc_driver_postgresql import dbapi

from noetl_stream.errors import ToolError
from noetl_stream.tools.postgres.failing import TRANSIENT, unconnected

_HINTS: Final = {
    "42P01": "check its name and schema; names are taken as they are written",
    "42P10": "`mode: upsert` needs a unique index on exactly its `keys`",
    "42804": "give the target another type, or cast in the source",
    "57014": "it was cancelled at the server",
}


class PostgresLink:
    """One connection and its transaction, used by one thread at a time."""

    def __init__(self, address: str, said: str) -> None:
        self._address, self._said = address, said
        self._connection: Any = None
        self._cursor: Any = None

    def connect(self) -> Any:
        """Its cursor, in a transaction."""
        try:
            self._connection = dbapi.connect(self._address)
        except Error as error:
            raise _unconnected(error, self._said) from None  # what it stands on may hold the address
        self._cursor = self._connection.cursor()
        return self._cursor

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except Error as error:
            raise failed(error, self._said) from error

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._cursor.execute(sql, params or None)
        return list(self._cursor.fetchall()) if self._cursor.description else []

    def commit(self) -> None:
        self._connection.commit()

    def stop(self) -> None:
        """The server is told; what runs there ends with an error."""
        if self._cursor is not None:
            with suppress(Error):  # nothing runs there
                self._cursor.adbc_cancel()

    def close(self) -> None:
        """What was not committed is taken back."""
        if self._connection is not None:
            with suppress(Error):  # a connection that broke has nothing to take back
                self._cursor.close()
                self._connection.close()


def failed(error: Error, said: str) -> ToolError:
    state = error.sqlstate or ""
    # A broken connection has no state; a refused COPY is of class 08 too, and its own fault.
    lost = (isinstance(error, OperationalError) and not state) or (state[:2] == "08" and state != "08P01")
    hint = f"; {_HINTS[state]}" if state in _HINTS else ""
    return ToolError(
        f"{said}: {_sentence(error)}{hint}",
        kind="connection" if lost else "sql",
        code=state or ("connection_lost" if lost else type(error).__name__),
        retryable=lost or state.startswith(TRANSIENT),
    )


def _sentence(error: Error) -> str:
    """What the server says, and where in the rows it stood."""
    message = str(error)
    said = message.partition("ERROR:")[2] or message
    context = message.partition("CONTEXT:")[2].strip().partition("\n")[0]
    first = said.strip().partition("\n")[0]
    return f"{first} ({context})" if context else first


def _unconnected(error: Error, said: str) -> ToolError:
    message = str(error).strip().splitlines()[-1].partition("failed: ")[2] or "it cannot be reached"
    return unconnected(message, f"{said}: ")
