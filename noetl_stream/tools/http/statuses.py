"""What a status of 400 or more means: the kind of the error, whether it may pass by itself, and after how long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from noetl_stream.errors import ToolError

_RETRYABLE = frozenset({408, 425, 429})
_KINDS = {401: "auth", 403: "auth", 429: "rate_limit"}


def refused(sentence: str, status: int, headers: Mapping[str, str], value: object = None) -> ToolError:
    """The error for an answer; `value` is what came back all the same."""
    return ToolError(
        sentence,
        kind=_KINDS.get(status, "server_error" if status >= 500 else "client_error"),
        retryable=status >= 500 or status in _RETRYABLE,
        status=status,
        retry_after=retry_after(headers, datetime.now(UTC)),
        value=value,
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait as the server asks, from a number or a date; None if it does not, or not readably."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0.0, (moment - now).total_seconds())
