"""One partition: an append-only log, what may be read of it, and who waits for more.

Readers see only what is durable: the high watermark is the offset up to which the log has been synced. So no
consumer can act on a record that a power loss would take back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.batch import (
    HEADER_SIZE,
    BatchHeader,
    Octets,
    marker_commits,
    read_header,
    stamp,
    transaction_marker,
)
from noetl_stream.commitlog.fsync import GroupCommit, Mark
from noetl_stream.commitlog.isolation import AbortedTransaction, Isolation
from noetl_stream.commitlog.log_reader import StoredBatch, walk
from noetl_stream.commitlog.producers import Producers
from noetl_stream.commitlog.record_times import first_at_or_after
from noetl_stream.commitlog.sparse_index import SparseIndex


class Partition:
    """The log of one partition, on one file. `recovery.open_partition` makes one."""

    def __init__(self, file: AppendFile, commit: GroupCommit) -> None:
        self._file, self._commit = file, commit
        self._index = SparseIndex()
        self._producers = Producers()
        self._isolation = Isolation()
        self._watchers: set[Callable[[], None]] = set()
        self._synced = Mark(0, 0)
        self.start_offset = 0
        self.end_offset = 0

    @property
    def high_watermark(self) -> int:
        """The offset after the last durable record."""
        return self._synced.offset

    @property
    def last_stable_offset(self) -> int:
        """The offset up to which every transaction is decided."""
        return self._limit(committed_only=True).offset

    @property
    def synced_position(self) -> int:
        """The byte up to which the log is durable."""
        return self._synced.position

    @property
    def size_in_bytes(self) -> int:
        """What the log takes on disk."""
        return self._file.size

    # What GroupCommit needs.

    def fileno(self) -> int:
        return self._file.fileno()

    def end(self) -> Mark:
        return Mark(self._file.size, self.end_offset)

    def synced(self, mark: Mark) -> None:
        """Everything before `mark` is durable: show it, and wake whoever waits for more."""
        self._synced = mark
        self.wake()

    async def durable(self) -> None:
        """Wait until everything appended so far is durable."""
        await self._commit.durable(self)

    # Writing.

    def append(self, header: BatchHeader, batch: bytes) -> int:
        """Append a checked batch, unless it stands here already; its base offset either way.

        Raises:
            Refused: the producer is fenced or out of sequence.
            OSError: the disk took none of it.
        """
        if header.producer_id >= 0:
            duplicate = self._producers.duplicate_of(header)
            if duplicate is not None:
                return duplicate
        return self._write(batch)

    def end_transaction(self, *, producer_id: int, epoch: int, committed: bool) -> None:
        """Append the marker that ends a producer's transaction here. Repeating it changes nothing for readers."""
        timestamp = int(time.time() * 1000)
        self._write(
            transaction_marker(producer_id=producer_id, epoch=epoch, committed=committed, timestamp=timestamp)
        )

    def _write(self, batch: bytes) -> int:
        stamped = stamp(batch, self.end_offset)
        position = self._file.append(stamped)
        header = read_header(stamped)
        self.note(header, position, stamped)
        self._commit.mark_dirty(self)
        return header.base_offset

    def note(self, header: BatchHeader, position: int, batch: Octets) -> None:
        """Learn from a batch that stands in the file: appended just now, or found at start."""
        self._index.add(header, position)
        self.end_offset = header.next_offset
        if header.producer_id >= 0:
            self._producers.note(header)
        if header.control:
            self._isolation.end(header, committed=marker_commits(batch))
        elif header.transactional:
            self._isolation.note(header, position)

    def delete_before(self, offset: int) -> None:
        """Nothing before `offset` may be read again."""
        self.start_offset = max(self.start_offset, offset)

    # Reading.

    def read(self, offset: int, max_bytes: int, *, committed_only: bool, whole_first: bool) -> bytes:
        """The batches from the one that holds `offset`: at most `max_bytes`, the last possibly cut short.

        With `whole_first` at least one whole batch is given even if it is larger, so that a reader always gets on.
        """
        limit = self._limit(committed_only=committed_only)
        if offset >= limit.offset:
            return b""
        position = self._locate(offset)
        available = limit.position - position
        chunk = self._file.read(position, min(max(max_bytes, HEADER_SIZE), available))
        first = read_header(chunk).size
        if first > len(chunk):
            return self._file.read(position, first) if whole_first else b""
        return chunk

    def aborted_from(self, offset: int) -> list[AbortedTransaction]:
        return self._isolation.aborted_from(offset)

    def offset_for_time(self, timestamp: int, *, committed_only: bool) -> tuple[int, int] | None:
        """(timestamp, offset) of the first readable record of `timestamp` (milliseconds) or later."""
        limit = self._limit(committed_only=committed_only)
        for found in self._walk(self._index.floor_of_time(timestamp), limit.position):
            if found.header.max_timestamp < timestamp or found.header.next_offset <= self.start_offset:
                continue
            batch = self._file.read(found.position, found.header.size)
            record = first_at_or_after(batch, timestamp, self.start_offset)
            if record is not None:
                return record
        return None

    def latest_record(self) -> tuple[int, int] | None:
        """(timestamp, offset) of the record with the largest timestamp."""
        return (
            self.offset_for_time(self._index.latest, committed_only=False)
            if self._index.latest >= 0
            else None
        )

    def _limit(self, *, committed_only: bool) -> Mark:
        first_open = self._isolation.first_open if committed_only else None
        return min(first_open, self._synced) if first_open is not None else self._synced

    def _locate(self, offset: int) -> int:
        for found in self._walk(self._index.floor_of_offset(offset), self._file.size):
            if found.header.next_offset > offset:
                return found.position
        return self._file.size

    def _walk(self, position: int, end: int) -> Iterator[StoredBatch]:
        return walk(self._file, position, end)

    # Waiting.

    def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever more can be read, until `unwatch`."""
        self._watchers.add(wake)

    def unwatch(self, wake: Callable[[], None]) -> None:
        self._watchers.discard(wake)

    def wake(self) -> None:
        for wake in tuple(self._watchers):
            wake()

    def close(self) -> None:
        """Close the file; whoever waits for more finds out that there is none."""
        self.wake()
        self._file.close()
