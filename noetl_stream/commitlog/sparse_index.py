"""Where in a partition's file to begin looking: one entry for every few KiB, held in flat arrays.

A million records of 300 bytes take about 75,000 entries of 24 bytes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from noetl_stream.commitlog.batch import BatchHeader

INTERVAL = 4096


class SparseIndex:
    """Floor look-ups by offset and by time. The exact batch is found by reading headers from there on."""

    def __init__(self) -> None:
        self._offsets = array("q")
        self._positions = array("q")
        self._latest_before = array("q")
        self.latest = -1

    def add(self, header: BatchHeader, position: int) -> None:
        """Note a batch, in the order of the log. `latest` is the largest timestamp so far, in milliseconds."""
        if not self._positions or position - self._positions[-1] >= INTERVAL:
            self._offsets.append(header.base_offset)
            self._positions.append(position)
            self._latest_before.append(self.latest)
        self.latest = max(self.latest, header.max_timestamp)

    def floor_of_offset(self, offset: int) -> int:
        """A position at or before the batch that holds `offset`."""
        entry = bisect_right(self._offsets, offset) - 1
        return self._positions[entry] if entry >= 0 else 0

    def floor_of_time(self, timestamp: int) -> int:
        """A position at or before the first batch with a record of `timestamp` or later."""
        entry = bisect_left(self._latest_before, timestamp) - 1
        return self._positions[entry] if entry >= 0 else 0
