"""Keeps work in a background thread out of the way of the event loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_TURN = 0.001
_LONGEST_REST = 0.05
"""Of what seems a longer turn, most was a pause: nothing was cleaned for a while, or the disk was waited for."""


class Stopped(Exception):
    """The work was asked to end before it was done."""


class Pace:
    """A thread that calls `breathe` often works at most half of the time, in turns of about a millisecond.

    Both threads need the interpreter's lock. Resting gives it up for sure; a lower priority would not do: the kernel
    might then take the processor from this thread while it holds the lock, and the event loop would wait for both.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._stopped, self._clock = threading.Event(), clock
        self._since = clock()

    def breathe(self) -> None:
        """Rest if it is time.

        Raises:
            Stopped: `stop` was called.
        """
        worked = self._clock() - self._since
        if worked >= _TURN:
            self._stopped.wait(min(worked, _LONGEST_REST))
            self._since = self._clock()
        if self._stopped.is_set():
            raise Stopped

    def stop(self) -> None:
        """End the work at its next breath. From any thread."""
        self._stopped.set()
