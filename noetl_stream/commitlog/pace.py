"""Keeps work in a background thread out of the way of the event loop."""

from __future__ import annotations

import threading
import time

_TURN = 0.001
_REST = 1.0


class Stopped(Exception):
    """The work was asked to end before it was done."""


class Pace:
    """A thread that calls `breathe` often works at most half of the time, in turns of about a millisecond.

    Both threads need the interpreter's lock. Resting gives it up for sure; a lower priority would not do: the kernel
    might then take the processor from this thread while it holds the lock, and the event loop would wait for both.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._since = time.monotonic()

    def breathe(self) -> None:
        """Rest if it is time.

        Raises:
            Stopped: `stop` was called.
        """
        worked = time.monotonic() - self._since
        if worked >= _TURN:
            self._stopped.wait(worked * _REST)
            self._since = time.monotonic()
        if self._stopped.is_set():
            raise Stopped

    def stop(self) -> None:
        """End the work at its next breath. From any thread."""
        self._stopped.set()
