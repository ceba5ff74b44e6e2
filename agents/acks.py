"""Acknowledging to Faust in offset order only: out of order it commits past what is still running.

One `Acks` per assignment of a partition; what an earlier assignment delivered is never acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol


class Delivered(Protocol):
    """The part of a Faust event that matters here."""

    def ack(self) -> bool: ...


MOST_BEHIND = 1_000
"""Offsets that an unfinished record may hold back before no more are taken."""


class Acks:
    """The contiguous finished prefix of what one partition's assignment delivered."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()
        self._waiting: deque[tuple[int, Delivered]] = deque()
        self._finished: set[int] = set()

    def delivered(self, offset: int, event: Delivered) -> None:
        self._waiting.append((offset, event))

    def finish(self, offset: int) -> None:
        """This one may be forgotten, once all before it may."""
        self._finished.add(offset)
        while self._waiting and self._waiting[0][0] in self._finished:
            first, event = self._waiting.popleft()
            self._finished.discard(first)
            event.ack()
            self._moved.set()

    def finish_below(self, offset: int) -> None:
        """All records below `offset` may be forgotten."""
        while self._waiting and self._waiting[0][0] < offset:
            self._waiting.popleft()[1].ack()
            self._moved.set()

    async def room(self) -> None:
        """Wait while the oldest unfinished record is too far behind."""
        while self.behind >= MOST_BEHIND:
            self._moved.clear()
            await self._moved.wait()

    @property
    def behind(self) -> int:
        """Offsets between the oldest unfinished record and the newest delivered one."""
        return self._waiting[-1][0] - self._waiting[0][0] if self._waiting else 0
