"""What a status of 400 or more means: the kind of the error, whether it may pass by itself, and after how long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_RETRYABLE = frozenset({408, 425, 429})
_KINDS = {401: "auth", 403: "auth", 429: "rate_limit"}


def kind_of(status: int) -> str:
    """One of dsl's error kinds."""
    return _KINDS.get(status, "server_error" if status >= 500 else "client_error")


def is_retryable(status: int) -> bool:
    """Whether the same request may go well later."""
    return status >= 500 or status in _RETRYABLE


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
