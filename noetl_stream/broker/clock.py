"""The wall clock, for what must mean the same after a restart."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def as_datetime(milliseconds: int) -> datetime:
    """The moment so long after the beginning of 1970, as kio's entities want it."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
