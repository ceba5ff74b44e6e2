"""Where in a segment to begin looking: one entry for every few KiB, in flat columns, by offset and by time.

The index of the segment that grows is held in arrays; that of a closed one is its file, mapped into memory, so that
only the pages a look-up touches take room.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Self

from noetl_stream.commitlog.batch import BatchHeader

INTERVAL = 4096
COLUMNS = 3
ENTRY_SIZE = COLUMNS * 8


class SparseIndex:
    """Floor look-ups by offset and by time. The exact batch is found by reading headers from there on.

    The columns: the offset of an entry's batch, its position in the file, the largest timestamp before it.
    """

    def __init__(
        self, offsets: Sequence[int] = (), positions: Sequence[int] = (), latest_before: Sequence[int] = ()
    ) -> None:
        self._offsets, self._positions, self._latest_before = offsets, positions, latest_before

    def floor_of_offset(self, offset: int) -> int:
        """A position at or before the batch that holds `offset`."""
        entry = bisect_right(self._offsets, offset) - 1
        return self._positions[entry] if entry >= 0 else 0

    def floor_of_time(self, timestamp: int) -> int:
        """A position at or before the first batch with a record of `timestamp` or later."""
        entry = bisect_left(self._latest_before, timestamp) - 1
        return self._positions[entry] if entry >= 0 else 0


class GrowingIndex(SparseIndex):
    """The index of a segment that is written to, or read through for the first time."""

    def __init__(self) -> None:
        self._columns = (array("q"), array("q"), array("q"))
        self._next_position = 0
        self.latest = -1
        super().__init__(*self._columns)

    @classmethod
    def loaded(cls, dumped: bytes, latest: int) -> Self:
        """The index that `dump` gave; `latest` is the largest timestamp of what it covers."""
        index = cls()
        size = len(dumped) // COLUMNS
        for number, column in enumerate(index._columns):
            column.frombytes(dumped[number * size : (number + 1) * size])
        positions = index._columns[1]
        index._next_position = positions[-1] + INTERVAL if positions else 0
        index.latest = latest
        return index

    def add(self, header: BatchHeader, position: int) -> None:
        """Note a batch, in the order of the log. `latest` is the largest timestamp so far, in milliseconds."""
        if position >= self._next_position:
            offsets, positions, latest_before = self._columns
            offsets.append(header.base_offset)
            positions.append(position)
            latest_before.append(self.latest)
            self._next_position = position + INTERVAL
        if header.max_timestamp > self.latest:
            self.latest = header.max_timestamp

    def dump(self) -> bytes:
        """The three columns, one behind the other, in this machine's byte order."""
        return b"".join(column.tobytes() for column in self._columns)
