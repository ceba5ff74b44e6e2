"""What an ADBC driver says when something fails, as a task's error without the secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from adbc_driver_manager import AdbcStatusCode, Error

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret

_TRANSIENT: Final = ("08", "53", "57P0", "40001", "40P01", "55P03", "25006")
_WHO: Final = (AdbcStatusCode.UNAUTHENTICATED, AdbcStatusCode.UNAUTHORIZED)
_LOST: Final = (AdbcStatusCode.IO, AdbcStatusCode.TIMEOUT)
_REFUSED: Final = ("authentication", "incorrect username or password", "role ", "unauthenticated")
_SHORTEST: Final = 4


def statement_failed(error: Error, place: str, secret: Secret) -> ToolError:
    """A statement failed; `place` names it."""
    state = (error.sqlstate or "").strip("\0")
    # A driver reports what a server says of a statement as input and output too, but then with its state.
    lost = state.startswith(("08", "57P0")) or (not state and error.status_code in _LOST)
    return ToolError(
        f"{place}{_without(str(error), secret)}",
        kind="connection" if lost else "sql",
        code=state or error.status_code.name.lower(),
        retryable=lost or state.startswith(_TRANSIENT),
    )


def connecting_failed(error: Error, secret: Secret) -> ToolError:
    """No connection was made."""
    said = str(error)
    who = error.status_code in _WHO or any(word in said.lower() for word in _REFUSED)
    return ToolError(
        f"no connection: {_without(said, secret)}",
        kind="auth" if who else "connection",
        code="refused" if who else "unreachable",
        retryable=not who,
    )


def _without(message: str, secret: Secret) -> str:
    """The message on one line, with nothing in it that only the credential's owner knows."""
    for text in sorted(_texts(secret), key=len, reverse=True):
        message = message.replace(text, "***")
    return " ".join(message.split())


def _texts(secret: Secret) -> Iterator[str]:
    whole = secret.reveal()
    values = whole.values() if isinstance(whole, Mapping) else [whole]
    for text in map(str, values):
        # A password inside a connection string is one by itself too.
        inner = text.partition("://")[2].rpartition("@")[0].partition(":")[2]
        yield from (each for each in (text, inner) if len(each) >= _SHORTEST)
