"""Producer ids: each is given out once, for ever. They are reserved by the thousand, so few producers wait for the disk."""

from __future__ import annotations

import asyncio

from noetl_stream.broker.entries import ProducerIdsReserved
from noetl_stream.broker.journal import Journal

_BLOCK = 1000


class ProducerIds:
    """What is below the reservation may have been given out before a crash, so it never is again."""

    def __init__(self) -> None:
        self._next = 0
        self._reserved_below = 0
        self._reserving = asyncio.Lock()
        self._journal: Journal

    async def new(self) -> int:
        """An id never given out before."""
        async with self._reserving:
            if self._next >= self._reserved_below:
                below = self._next + _BLOCK
                await self._journal.write(ProducerIdsReserved(below=below))
                self._reserved_below = below
            self._next += 1
            return self._next - 1

    def apply(self, entry: ProducerIdsReserved) -> None:
        self._next = self._reserved_below = max(self._reserved_below, entry.below)

    def entry(self) -> ProducerIdsReserved:
        return ProducerIdsReserved(below=self._reserved_below)

    def record_changes_in(self, journal: Journal) -> None:
        self._journal = journal
