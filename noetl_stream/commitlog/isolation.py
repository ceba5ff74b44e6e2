"""What read_committed may not see yet in one partition: the transactions that are open, and where they begin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from noetl_stream.commitlog.batch import BatchHeader
from noetl_stream.commitlog.fsync import Mark


class AbortedTransaction(NamedTuple):
    """Records of `producer_id` from `first_offset` up to the marker at `marker_offset` do not count."""

    producer_id: int
    first_offset: int
    marker_offset: int


class Isolation:
    """The open transactions of a partition. At start they come from its last checkpoint and the log behind it."""

    def __init__(self) -> None:
        self._open: dict[int, Mark] = {}  # in the order of the log, so the first is the earliest

    @property
    def first_open(self) -> Mark | None:
        """Where the earliest open transaction begins."""
        return next(iter(self._open.values()), None)

    @property
    def open(self) -> Mapping[int, Mark]:
        """Where the transaction of each producer begins that has one."""
        return self._open

    def note(self, header: BatchHeader, position: int) -> None:
        """A batch of a transaction was appended."""
        self._open.setdefault(header.producer_id, Mark(position, header.base_offset))

    def end(self, header: BatchHeader, *, committed: bool) -> AbortedTransaction | None:
        """A marker was appended; the transaction that it aborts."""
        begun = self._open.pop(header.producer_id, None)
        if begun is None or committed:
            return None
        return AbortedTransaction(header.producer_id, begun.offset, header.base_offset)

    def dump(self) -> list[list[int]]:
        """All that `load` needs, as JSON takes it."""
        return [[producer_id, *mark] for producer_id, mark in self._open.items()]

    def load(self, dumped: Iterable[tuple[int, int, int]]) -> None:
        """Know what `dump` told."""
        for producer_id, position, offset in dumped:
            self._open[producer_id] = Mark(position, offset)
