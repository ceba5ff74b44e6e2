"""One partition: an append-only log, what may be read of it, and who waits for more.

Readers see only what is as durable as the fsync policy asks; by default the high watermark is the offset up to which
the log has been synced. So no consumer can act on a record that a power loss would take back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.batch import HEADER_SIZE, BatchHeader, read_header, stamp, transaction_marker
from noetl_stream.commitlog.fsync import Mark
from noetl_stream.commitlog.isolation import AbortedTransaction
from noetl_stream.commitlog.producer_state import ProducerState
from noetl_stream.commitlog.producers import LastWrite
from noetl_stream.commitlog.record_times import first_at_or_after
from noetl_stream.commitlog.segment import Segment, SegmentLimits
from noetl_stream.commitlog.segmented_log import SegmentedLog
from noetl_stream.commitlog.storage import Storage
from noetl_stream.commitlog.watched import Watched


class ActiveProducer(NamedTuple):
    """A producer of a partition, as DescribeProducers tells it. What it does not have is -1."""

    producer_id: int
    epoch: int
    last_sequence: int
    last_timestamp: int
    transaction_start: int


class Partition(Watched):
    """The log of one partition. `recovery.open_partition` makes one."""

    def __init__(self, log: SegmentedLog, state: ProducerState, storage: Storage, start_offset: int) -> None:
        super().__init__()
        self._log, self._state, self._commit = log, state, storage.commit
        self._storage = storage
        self._visible = log.active.end()
        self._swapping = asyncio.Lock()
        self.start_offset = start_offset

    @property
    def end_offset(self) -> int:
        return self._log.end_offset

    @property
    def high_watermark(self) -> int:
        """The offset after the last record that readers may see."""
        return self._visible.offset

    @property
    def last_stable_offset(self) -> int:
        """The offset up to which every transaction is decided."""
        return self._limit(committed_only=True).offset

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return self._log.size

    # What GroupCommit needs.

    def files(self) -> list[AppendFile]:
        return self._log.files()

    def end(self) -> Mark:
        return self._log.active.end()

    def visible(self, mark: Mark) -> None:
        """Everything before `mark` may be shown: wake whoever waits for more."""
        self._visible = mark
        self.wake()

    def synced(self, mark: Mark) -> None:
        """Everything before `mark` is on the disk."""
        self._log.synced(mark)

    async def durable(self) -> None:
        """Wait until everything appended so far is as durable as the policy asks."""
        await self._commit.durable(self)

    # Writing.

    def append(self, header: BatchHeader, batch: bytes) -> int:
        """Append a checked batch, unless it stands here already; its base offset either way.

        Raises:
            Refused: the producer is fenced or out of sequence.
            OSError: the disk took none of it.
        """
        if header.producer_id >= 0:
            duplicate = self._state.producers.duplicate_of(header)
            if duplicate is not None:
                return duplicate
        return self._write(batch)

    def end_transaction(self, *, producer_id: int, epoch: int, committed: bool, now: int) -> None:
        """Append the marker that ends a producer's transaction here, dated `now` (milliseconds).

        Repeating it changes nothing for readers.

        Raises:
            OSError: the disk took none of it.
        """
        self._write(
            transaction_marker(producer_id=producer_id, epoch=epoch, committed=committed, timestamp=now)
        )

    def _write(self, batch: bytes) -> int:
        stamped = stamp(batch, self.end_offset)
        header = read_header(stamped)
        log = self._log
        if log.active.is_full_for(header, log.limits):
            self.roll()
        position = log.append(header, stamped)
        self._state.note(header, position, stamped, log.active.aborted)
        if log.checkpoint_is_due():
            self.checkpoint()
        self._commit.mark_dirty(self)
        return header.base_offset

    # Reading.

    def read(self, offset: int, max_bytes: int, *, committed_only: bool, whole_first: bool) -> bytes:
        """The batches from the one that holds `offset`: at most `max_bytes`, the last possibly cut short.

        With `whole_first` at least one whole batch is given even if it is larger, so that a reader always gets on.
        They lie in one segment; whoever wants more asks again.

        Raises:
            OSError: a segment cannot be opened.
        """
        limit = self._limit(committed_only=committed_only)
        found = self._log.find(offset, limit) if offset < limit.offset else None
        if found is None:
            return b""
        available = found.end - found.position
        size = min(max(max_bytes, HEADER_SIZE), available)
        if found.header.size > size:
            return found.view.read(found.position, found.header.size) if whole_first else b""
        return found.view.read(found.position, size)

    def aborted_from(self, offset: int) -> list[AbortedTransaction]:
        """The aborted transactions that a reader beginning at `offset` may meet in what `read` gives it."""
        found = self._log.find(offset, self._visible)
        return self._log.aborted_between(offset, found.until) if found is not None else []

    def offset_for_time(self, timestamp: int, *, committed_only: bool) -> tuple[int, int] | None:
        """(timestamp, offset) of the first readable record of `timestamp` (milliseconds) or later.

        Raises:
            MalformedRecords: a batch on the way cannot be read, or not in bounded memory.
        """
        for found in self._log.find_time(timestamp, self._limit(committed_only=committed_only)):
            if found.header.next_offset <= self.start_offset:
                continue
            batch = found.view.read(found.position, found.header.size)
            record = first_at_or_after(found.header, batch, timestamp, self.start_offset)
            if record is not None:
                return record
        return None

    def latest_record(self) -> tuple[int, int] | None:
        """(timestamp, offset) of the record with the largest timestamp."""
        latest = self._log.latest
        return self.offset_for_time(latest, committed_only=False) if latest >= 0 else None

    def _limit(self, *, committed_only: bool) -> Mark:
        first_open = self._state.isolation.first_open if committed_only else None
        if first_open is not None and first_open.offset < self._visible.offset:
            return first_open
        return self._visible

    # Producers.

    def producers(self) -> Iterator[ActiveProducer]:
        """All that wrote here and are not forgotten."""
        began = self._state.isolation.open
        for known in self._state.producers:
            start = began[known.producer_id].offset if known.producer_id in began else -1
            yield ActiveProducer(*known, transaction_start=start)

    def expire_producers(self, before: int) -> None:
        """Forget producers that last wrote before that time (milliseconds), unless in a transaction."""
        self._state.producers.expire(before, but=self._state.isolation.open)

    def last_writes(self) -> dict[int, LastWrite]:
        """What each producer wrote last, by its id."""
        return self._state.producers.last_writes()

    # Segments.

    @property
    def active(self) -> Segment:
        """The segment that grows, as it is now."""
        return self._log.active.closed(self.end_offset)

    def is_segment_due(self, now: int) -> bool:
        """Whether the segment that grows is to be closed for its age. `now` is in milliseconds."""
        return 0 <= self._log.active.earliest < now - self._log.limits.max_ms

    @property
    def aborted(self) -> tuple[AbortedTransaction, ...]:
        """Every aborted transaction whose marker still stands in the log, in its order."""
        return tuple(self._log.aborted_between(0, self.end_offset))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The closed ones, oldest first. The one that grows is not among them."""
        return tuple(self._log.closed)

    def limit_segments(self, limits: SegmentLimits) -> None:
        """Close segments at these sizes and ages from the next append on."""
        self._log.limits = limits

    def roll(self) -> None:
        """Close the active segment, unless it is empty.

        Raises:
            OSError: the disk has no room for another file; nothing has changed.
        """
        if self._log.active.size > 0:
            self._log.roll(self._state.dump())
            self._commit.sync_soon(self)

    def checkpoint(self) -> None:
        """Note what is known up to here, as soon as it is on the disk: the next start reads only what follows."""
        if not self._log.is_checkpointed:
            self._log.checkpoint(self._state.dump())
            self._commit.sync_soon(self)

    async def checkpointed(self) -> None:
        """Wait until what is known of every closed segment is on the disk.

        Raises:
            InfrastructureError: the disk failed.
        """
        self._log.checkpoints.try_again()
        await self._commit.on_disk(self)
        await self._storage.checkpoints.idle()

    def delete_before(self, offset: int) -> tuple[Path, ...]:
        """Nothing before `offset` may be read again; the files that held only that, for `segment.remove_files`."""
        self.start_offset = max(self.start_offset, offset)
        return self._log.drop_before(self.start_offset)

    async def replace(self, old: Sequence[Segment], cleaned: Path, breathe: Callable[[], None]) -> bool:
        """Put a cleaned file in the place of closed segments that follow one another; never cancel it.

        It holds batches of theirs, in order, none, some or all. False, and it is left where it is, if the log has
        changed meanwhile. The thread that reads it calls `breathe` often; what that raises ends the attempt.

        Raises:
            OSError, InfrastructureError: the cleaned file could not be used; the old segments stay.
        """
        async with self._swapping:
            await self.checkpointed()
            return await self._log.replace(old, cleaned, breathe)

    # Closing.

    async def release(self) -> None:
        """Close the files once nobody writes to them, to be removed.

        Raises:
            InfrastructureError: the disk failed.
        """
        async with self._swapping:
            await self.checkpointed()
        self.close()

    def close(self) -> None:
        """Close the files; whoever waits for more finds out that there is none."""
        self.wake()
        self._log.close()
