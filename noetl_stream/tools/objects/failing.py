"""What a store's error means for a task. Their texts quote URLs, in which a signature may stand: none of it is passed on."""

from __future__ import annotations

import re
from typing import Final

from obstore.exceptions import AlreadyExistsError, NotSupportedError, UnauthenticatedError

from noetl_stream.cache.faults import kind_of
from noetl_stream.errors import ToolError

_STATUS: Final = re.compile(r"status(?: code)?:? (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")


def failed(error: Exception, place: str) -> ToolError:
    """An error of obstore as a task's; `place` is the object's uri."""
    text = str(error)
    status, code = _first(_STATUS, text), _first(_CODE, text)
    number = None if status is None else int(status)
    match kind_of(error, text):
        case "credentials" | "no credentials":
            return _refused(error, place, number, code)
        case "bucket":
            return _client(
                f"the bucket of {place} is not there; create it, or correct its name", 404, "no_such_bucket"
            )
        case "unreachable":
            return ToolError(
                f"the store of {place} does not answer; check its endpoint and the network",
                kind="connection",
                retryable=True,
            )
        case "failed":
            return _answered(error, place, number, code)


def _refused(error: Exception, place: str, status: int | None, code: str | None) -> ToolError:
    known = status or (401 if isinstance(error, UnauthenticatedError) else 403)
    return ToolError(
        f"the store refuses the credential for {place}{_told(code)}; renew it, or allow it this operation",
        kind="auth",
        status=known,
        code=code,
    )


def _answered(error: Exception, place: str, status: int | None, code: str | None) -> ToolError:
    if isinstance(error, FileNotFoundError):
        return _client(f"there is no object {place}; check its key", 404, "not_found")
    if isinstance(error, AlreadyExistsError):
        return _client(
            f"{place} is there already; choose another key, or write without `if_absent`", 409, "exists"
        )
    if isinstance(error, NotSupportedError):
        return _client(f"the store of {place} cannot do this; use another operation", None, "not_supported")
    if status in (429, 503):
        return ToolError(
            f"the store of {place} asks for patience ({status}); try later",
            kind="rate_limit" if status == 429 else "server_error",
            retryable=True,
            status=status,
            code=code,
        )
    if status is not None and status < 500:
        return ToolError(
            f"the store refuses the request for {place} ({status}{_told(code)}); check it",
            kind="client_error",
            status=status,
            code=code,
        )
    return ToolError(
        f"the store of {place} failed{_told(code or (None if status is None else str(status)))}; look at its own state",
        kind="server_error",
        retryable=True,
        status=status,
        code=code,
    )


def _client(sentence: str, status: int | None, code: str) -> ToolError:
    return ToolError(sentence, kind="client_error", status=status, code=code)


def _told(code: str | None) -> str:
    return f" ({code})" if code else ""


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return None if found is None else found[1]
