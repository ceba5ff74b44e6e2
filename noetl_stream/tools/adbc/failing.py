"""What an ADBC driver says when something fails, as a task's error without the secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

from adbc_driver_manager import AdbcStatusCode, Error

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret

_TRANSIENT: Final = ("08", "53", "57P0", "40001", "40P01", "55P03", "25006")
_WHO: Final = (AdbcStatusCode.UNAUTHENTICATED, AdbcStatusCode.UNAUTHORIZED)
_LOST: Final = (AdbcStatusCode.IO, AdbcStatusCode.TIMEOUT)
_UNREADABLE: Final = (AdbcStatusCode.INVALID_ARGUMENT, AdbcStatusCode.INVALID_DATA)
_REFUSED: Final = ("authentication failed", "incorrect username or password", "role ", "unauthenticated")
SHORTEST: Final = 4
"""Characters: anything shorter stands in harmless text too."""


def statement_failed(error: Error, place: str, secret: Secret) -> ToolError:
    """A statement failed; `place` names it."""
    state = (error.sqlstate or "").strip("\0")
    # A driver reports what a server says of a statement as input and output too, but then with its state.
    lost = state.startswith(("08", "57P0")) or (not state and error.status_code in _LOST)
    who = not state and error.status_code in _WHO
    return ToolError(
        f"{place}{_without(str(error), secret)}",
        kind="connection" if lost else "auth" if who else "sql",
        code=state or error.status_code.name.lower(),
        retryable=lost or state.startswith(_TRANSIENT),
    )


def connecting_failed(error: Error, secret: Secret) -> ToolError:
    """No connection was made."""
    said, status = str(error), error.status_code
    sentence = f"no connection: {_without(said, secret)}"
    if status is AdbcStatusCode.NOT_IMPLEMENTED:
        return ToolError(f"{sentence}; the server lacks what the task asks of it", kind="sql", code="lacking")
    if status in _WHO or any(word in said.lower() for word in _REFUSED):
        return ToolError(sentence, kind="auth", code="refused")
    if status in _UNREADABLE:
        return ToolError(f"{sentence}; correct the credential '{secret.alias}'", kind="credential")
    return ToolError(sentence, kind="connection", code="unreachable", retryable=True)


def _without(message: str, secret: Secret) -> str:
    """The message on one line, without the credential's values as drivers write them. The worker's mask comes after it."""
    for text in sorted(set(_spellings(_texts(secret.reveal()))), key=len, reverse=True):
        message = message.replace(text, "***")
    return " ".join(message.split())


def _texts(value: Any) -> Iterator[str]:
    """Each value by itself, each longer line of one, and a password inside an address or a connection string."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
        return
    text = str(value)
    yield text
    yield from (line.strip() for line in text.splitlines()[:1000])
    yield text.partition("://")[2].rpartition("@")[0].partition(":")[2]
    for word in text.split():
        yield word.partition("password=")[2].strip("'")


def _spellings(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for each in (text, unquote(text), quote(text, safe=""), quote_plus(text)):
            if len(each) >= SHORTEST:
                yield each
