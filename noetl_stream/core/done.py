"""Which executions of a partition have ended, for as long as their requests may come again.

Exact for the whole window: the current hour in a dict, earlier hours as sorted arrays at 24 bytes an execution.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field

HOUR = 3_600
WINDOW = 24 * HOUR
"""Seconds of log time during which a repeated request is recognised."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The offset of an execution's last record, and the part of its identity that its id does not show."""

    offset: int
    tail: int


@dataclass(slots=True)
class Hour:
    """A past hour's executions, by id."""

    ids: array[int]
    offsets: array[int]
    tails: array[int]

    @classmethod
    def of(cls, ended: dict[int, Ended]) -> Hour:
        ids = array("q", sorted(ended))
        return cls(ids, array("q", (ended[i].offset for i in ids)), array("Q", (ended[i].tail for i in ids)))

    def find(self, execution: int) -> Ended | None:
        at = bisect_left(self.ids, execution)
        if at == len(self.ids) or self.ids[at] != execution:
            return None
        return Ended(self.offsets[at], self.tails[at])


@dataclass(slots=True)
class DoneSet:
    """Add, find, forget; `hour` is that of the newest entry."""

    hour: int = 0
    recent: dict[int, Ended] = field(default_factory=dict)
    earlier: dict[int, Hour] = field(default_factory=dict)

    def add(self, execution: int, ended: Ended, at: float) -> None:
        """Record an end at log time `at` (seconds). A clock that runs back adds to the current hour."""
        hour = int(at // HOUR)
        if hour > self.hour:
            self._close(hour)
        self.recent[execution] = ended

    def find(self, execution: int) -> Ended | None:
        if execution in self.recent:
            return self.recent[execution]
        return next((found for h in self.earlier.values() if (found := h.find(execution)) is not None), None)

    def __len__(self) -> int:
        return len(self.recent) + sum(len(h.ids) for h in self.earlier.values())

    def _close(self, hour: int) -> None:
        if self.recent:
            self.earlier[self.hour] = Hour.of(self.recent)
        oldest = hour - WINDOW // HOUR
        self.earlier = {h: kept for h, kept in self.earlier.items() if h >= oldest}
        self.hour, self.recent = hour, {}


def tail_of(identity: str) -> int:
    """The lower 64 bits of a 128-bit identity in hex; the upper ones are the execution id."""
    return int(identity[16:], 16)
