"""What PostgreSQL and its driver say when something fails, as a task's error: which of it may help to try again."""

from __future__ import annotations

from typing import Final

import psycopg

from noetl_stream.errors import ToolError

TRANSIENT: Final = ("53", "57P0", "40001", "40P01", "55P03", "25006")
"""States, or how they begin: resources, shutting down, serialisation, deadlock, locks, a read-only replica."""
_LOST: Final = ("08", "57P0")
_REFUSED: Final = ("FATAL", "no password supplied")
_SOON: Final = ("starting up", "shutting down", "recovery", "too many", "connection slots")
_WHO: Final = ("authentication", "password", "pg_hba.conf", "role ")


def statement_failed(error: psycopg.Error, place: str, text: str) -> ToolError:
    """A statement failed; `place` names it."""
    state = error.sqlstate
    lost = state is None or state.startswith(_LOST)
    return ToolError(
        f"{place}{_sentence(error, text)}",
        kind="connection" if lost else "sql",
        code=state or "connection_lost",
        retryable=lost or (state or "").startswith(TRANSIENT),
    )


def connecting_failed(error: psycopg.Error) -> ToolError:
    """No connection was made."""
    return unconnected(" ".join(str(error).split()) or type(error).__name__)


def unconnected(message: str, place: str = "") -> ToolError:
    """The same, of what was said: a refusal has no state then, only words, the server's or libpq's."""
    refused = any(word in message for word in _REFUSED)
    who = refused and any(word in message for word in _WHO)
    return ToolError(
        f"{place}no connection: {message}",
        kind="auth" if who else "connection",
        code="refused" if refused else "unreachable",
        retryable=not refused or any(word in message for word in _SOON),
    )


def _sentence(error: psycopg.Error, text: str) -> str:
    diag = error.diag
    told = [diag.message_primary or str(error).strip()]
    if diag.statement_position:
        told.append(_position(text, int(diag.statement_position)))
    more = [part for part in (diag.message_detail, diag.message_hint) if part]
    return " ".join(told) + "".join(f"; {part}" for part in more)


def _position(text: str, position: int) -> str:
    """Where in a statement, counted from its first word."""
    skipped = len(text) - len(text.lstrip())
    before = text[skipped : position - 1]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return f"(line {line}, column {column} of the statement)"
