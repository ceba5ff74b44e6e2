"""A partition's files: the segment that grows and the closed ones before it, as one log that is read by offset."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.batch import BatchHeader
from noetl_stream.commitlog.checkpoints import PendingCheckpoints
from noetl_stream.commitlog.closed_segments import ClosedSegments
from noetl_stream.commitlog.fsync import Mark
from noetl_stream.commitlog.index_file import index_path
from noetl_stream.commitlog.isolation import AbortedTransaction
from noetl_stream.commitlog.log_reader import Readable, walk
from noetl_stream.commitlog.segment import ActiveSegment, Segment, SegmentLimits, log_path
from noetl_stream.commitlog.segment_swap import clear_replaced, finish_swap, prepare_swap
from noetl_stream.commitlog.sparse_index import SparseIndex
from noetl_stream.commitlog.storage import Storage

_CHECKPOINT_EVERY = 8 << 20  # bytes; it bounds what a start reads of each log


class SegmentView(Readable, Protocol):
    """A segment that can be read, closed or not."""

    @property
    def index(self) -> SparseIndex: ...


class Found(NamedTuple):
    """Where a batch stands: at `position` of what `view` reads, which this reader may read up to `end`.

    `until` is the offset at which that segment ends.
    """

    header: BatchHeader
    view: SegmentView
    position: int
    end: int
    until: int


class SegmentedLog:
    """Owns the files of one partition. `recovery.open_partition` finds and checks them."""

    def __init__(
        self, closed: Sequence[Segment], active: ActiveSegment, storage: Storage, limits: SegmentLimits
    ) -> None:
        self.closed = ClosedSegments(closed, storage.open_segments)
        self.active, self.limits = active, limits
        self._rolled: list[ActiveSegment] = []  # closed for writing, and perhaps not on the disk yet
        self.checkpoints = PendingCheckpoints(storage.checkpoints, self._index_written)
        self._checkpointed = active.end()
        self._swapping = False

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return self.closed.size + self.active.size

    @property
    def start_offset(self) -> int:
        return self.active.base_offset if self.closed.base_offset is None else self.closed.base_offset

    @property
    def end_offset(self) -> int:
        return self.active.next_offset

    @property
    def latest(self) -> int:
        """The largest timestamp, -1 without records."""
        return max(self.active.latest, self.closed.latest)

    # Writing.

    def append(self, header: BatchHeader, stamped: bytearray) -> int:
        """Write a stamped batch into the active segment; its position there.

        Raises:
            OSError: the disk took none of it.
        """
        position = self.active.file.append(stamped)
        self.active.note(header, position)
        return position

    def roll(self, state: bytes) -> None:
        """Close the active segment and begin the next; `state` is what producers have done up to here.

        Raises:
            OSError: the disk has no room for another file; nothing has changed.
        """
        former = self.active
        file = AppendFile(log_path(former.path.parent, self.end_offset))
        self.checkpoint(state)
        self._rolled.append(former)
        self.closed.append(former.closed(former.next_offset), former.index)
        if not self.checkpoints.has(index_path(former.path)):
            self._index_written(former.path)  # as after a restart, at which the segment was full
        self.active = ActiveSegment(file, former.next_offset)
        # So that the state is not lost with the former segment, should retention remove it.
        self.checkpoints.add(index_path(self.active.path), self.active.checkpoint(state))
        self._checkpointed = self.active.end()

    @property
    def is_checkpointed(self) -> bool:
        """Whether nothing was appended since the last checkpoint was taken."""
        return self.active.end() == self._checkpointed

    def checkpoint_is_due(self) -> bool:
        return self.active.size - self._checkpointed.position >= _CHECKPOINT_EVERY

    def checkpoint(self, state: bytes) -> None:
        """Note what is known of the active segment, as soon as it is on the disk up to here."""
        if not self.is_checkpointed:
            self.checkpoints.add(index_path(self.active.path), self.active.checkpoint(state))
            self._checkpointed = self.active.end()

    def files(self) -> list[AppendFile]:
        """All that may hold bytes which were never synced."""
        return [*(former.file for former in self._rolled), self.active.file]

    def synced(self, mark: Mark) -> None:
        """Everything before `mark` is on the disk. No sweep is under way, so what was rolled can be closed."""
        while self._rolled and self._rolled[0].next_offset <= mark.offset:
            self._rolled.pop(0).file.close()
        self.checkpoints.synced(mark.offset)

    def _index_written(self, path: Path) -> None:
        self.closed.index_written(path.with_suffix(".log"))

    # Reading.

    def find(self, offset: int, limit: Mark) -> Found | None:
        """The batch before `limit` that holds `offset`, or the next one where compaction left a gap."""
        for view, end, until in self._views(self.closed.since(offset), limit):
            for found in walk(view, view.index.floor_of_offset(offset), end):
                if found.header.next_offset > offset:
                    return Found(found.header, view, found.position, end, until)
        return None

    def find_time(self, timestamp: int, limit: Mark) -> Iterator[Found]:
        """Every batch before `limit` with a record of `timestamp` or later, in the order of the log."""
        segments = [segment for segment in self.closed if segment.latest >= timestamp]
        for view, end, until in self._views(segments, limit):
            for found in walk(view, view.index.floor_of_time(timestamp), end):
                if found.header.max_timestamp >= timestamp:
                    yield Found(found.header, view, found.position, end, until)

    def aborted_between(self, offset: int, until: int) -> list[AbortedTransaction]:
        """Those with records or their marker at `offset` or later that begin before `until`."""
        later = (*(segment.aborted for segment in self.closed.since(offset)), self.active.aborted)
        return [
            gone
            for aborted in later
            for gone in aborted
            if gone.marker_offset >= offset and gone.first_offset < until
        ]

    def _views(self, segments: Sequence[Segment], limit: Mark) -> Iterator[tuple[SegmentView, int, int]]:
        """These and the active one, each with where it ends for this reader, and its last offset's successor."""
        for segment in segments:
            if segment.base_offset >= limit.offset:
                return
            end = segment.size if segment.next_offset <= limit.offset else limit.position
            yield self.closed.view(segment), end, segment.next_offset
        if self.active.base_offset < limit.offset:
            yield self.active, limit.position, self.end_offset

    # Cleaning.

    def drop_before(self, offset: int) -> tuple[Path, ...]:
        """Forget the leading segments that lie wholly before `offset`; their files, to be removed.

        One stays as long as the producers' state at its end stands nowhere else.
        """
        if self._swapping:
            return ()
        gone = self.closed.before(offset)
        while gone and self.checkpoints.has(index_path(log_path(gone[-1].path.parent, gone[-1].next_offset))):
            gone.pop()
        if gone:
            self.closed.substitute(gone, (), None)
        for segment in gone:
            self.checkpoints.forget(index_path(segment.path))
        return tuple(segment.path for segment in gone)

    async def replace(self, old: Sequence[Segment], cleaned: Path, breathe: Callable[[], None]) -> bool:
        """Put `cleaned` in the place of `old`; False, and nothing is done, if the log no longer holds them.

        Raises:
            OSError, InfrastructureError: the cleaned file could not be used; the old segments stay.
        """
        if self._swapping or not self.closed.holds(old):
            return False
        self._swapping = True
        try:
            swap, content = await asyncio.to_thread(prepare_swap, old, cleaned, breathe)
            self.closed.substitute(old, (swap,), content.index)
            await asyncio.to_thread(clear_replaced, old, swap)
            self.closed.substitute((swap,), (finish_swap(swap),), None)
        finally:
            self._swapping = False
        return True

    def close(self) -> None:
        self.closed.close()
        for segment in (*self._rolled, self.active):
            segment.file.close()
