"""Another's lock on a sqlite file: waited for here, where that can be stopped; inside sqlite it could not."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_LOOK_AGAIN: Final = 0.02
_Done = TypeVar("_Done")


def connected(database: str) -> sqlite3.Connection:
    """A connection without patience of its own, that another thread may interrupt. Transactions are begun by hand."""
    return sqlite3.connect(database, isolation_level=None, timeout=0, check_same_thread=False)


def patiently(act: Callable[[], _Done], patience: float, stop: threading.Event) -> _Done:
    """What `act` returns, once nobody holds a lock that it needs. It waits so many seconds.

    Raises:
        sqlite3.OperationalError: the lock is still held, or `stop` was set.
    """
    until = time.monotonic() + patience
    while True:
        if stop.is_set():
            raise sqlite3.OperationalError("interrupted")
        try:
            return act()
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() >= until:
                raise
        stop.wait(_LOOK_AGAIN)


def is_locked(error: sqlite3.Error) -> bool:
    """Whether it may help to try again."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED
