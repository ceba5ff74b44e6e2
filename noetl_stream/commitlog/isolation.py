"""What read_committed may see of one partition: where open transactions begin, and which ones were aborted."""

from __future__ import annotations

from typing import NamedTuple

from noetl_stream.commitlog.batch import BatchHeader
from noetl_stream.commitlog.fsync import Mark


class AbortedTransaction(NamedTuple):
    """Records of `producer_id` from `first_offset` up to the marker at `marker_offset` do not count."""

    producer_id: int
    first_offset: int
    marker_offset: int


class Isolation:
    """The transactions of a partition. Rebuilt from the log at start."""

    def __init__(self) -> None:
        self._open: dict[int, Mark] = {}  # in the order of the log, so the first is the earliest
        self._aborted: list[AbortedTransaction] = []

    @property
    def first_open(self) -> Mark | None:
        """Where the earliest open transaction begins."""
        return next(iter(self._open.values()), None)

    def note(self, header: BatchHeader, position: int) -> None:
        """A batch of a transaction was appended."""
        self._open.setdefault(header.producer_id, Mark(position, header.base_offset))

    def end(self, header: BatchHeader, *, committed: bool) -> None:
        """A marker was appended."""
        begun = self._open.pop(header.producer_id, None)
        if begun is not None and not committed:
            self._aborted.append(AbortedTransaction(header.producer_id, begun.offset, header.base_offset))

    def aborted_from(self, offset: int) -> list[AbortedTransaction]:
        """The aborted transactions that a reader beginning at `offset` may meet."""
        return [aborted for aborted in self._aborted if aborted.marker_offset >= offset]
