"""A log of keyed records as a test writes it, and as a client would read it: with aiokafka's own decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from noetl_stream.commitlog.batch import (
    BatchHeader,
    check_produced,
    read_header,
    stamp,
    transaction_marker,
)
from noetl_stream.commitlog.compaction import AbortedRanges, Compaction, note_keys
from noetl_stream.commitlog.isolation import AbortedTransaction, Isolation
from noetl_stream.commitlog.key_offsets import KeyOffsets
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.producers import LastWrite
from noetl_stream.commitlog.record_codec import marker_commits
from tests.commitlog.samples import BASE_TIME, whole_batches

Headers = list[tuple[str, bytes | None]]
Change = tuple[bytes | None, bytes | None]
"""A key and its value; None as a value deletes the key."""
Shown = tuple[int, bytes | None, bytes | None]
"""A record as a reader sees it: its offset, key and value."""


def keyed_batch(
    changes: Sequence[Change],
    *,
    codec: int = 0,
    producer_id: int = -1,
    sequence: int = -1,
    transactional: bool = False,
    headers: Headers | None = None,
) -> bytes:
    """One batch, its records a millisecond apart."""
    epoch = 0 if producer_id >= 0 else -1
    builder = DefaultRecordBatchBuilder(2, codec, int(transactional), producer_id, epoch, sequence, 1 << 24)
    for delta, (key, value) in enumerate(changes):
        builder.append(delta, BASE_TIME + delta, key, value, headers or [])
    return bytes(builder.build())


@dataclass(slots=True)
class KeyedLog:
    """Batches in order, as a partition would keep them."""

    batches: list[bytes] = field(default_factory=list)
    end_offset: int = 0
    sequences: dict[int, int] = field(default_factory=dict)

    def write(
        self, changes: Sequence[Change], *, producer_id: int = -1, transactional: bool = False, codec: int = 0
    ) -> None:
        sequence = self.sequences.get(producer_id, 0) if producer_id >= 0 else -1
        self.sequences[producer_id] = sequence + len(changes)
        sent = keyed_batch(
            changes, codec=codec, producer_id=producer_id, sequence=sequence, transactional=transactional
        )
        check_produced(sent, 1 << 24)
        self._append(sent)

    def end_transaction(self, producer_id: int, *, committed: bool) -> None:
        self._append(
            transaction_marker(producer_id=producer_id, epoch=0, committed=committed, timestamp=BASE_TIME)
        )

    def _append(self, batch: bytes) -> None:
        stamped = bytes(stamp(batch, self.end_offset))
        self.batches.append(stamped)
        self.end_offset = read_header(stamped).next_offset


def compacted(
    batches: Sequence[bytes],
    *,
    since: int = 0,
    end: int,
    now: int = 0,
    retention: int = 100,
    keys: int = 1000,
) -> tuple[list[bytes], int]:
    """One pass over the log, where `since` says what earlier passes have cleaned; up to where this one got."""
    aborted, newest = AbortedRanges(aborted_in(batches)), KeyOffsets(keys)
    for batch in batches:
        header = read_header(batch)
        if since < header.next_offset and header.base_offset < end:
            full_at = note_keys(header, batch, newest, since=since, aborted=aborted)
            if full_at is not None:
                end = full_at
                break
    run = Compaction(
        newest=newest,
        end=end,
        aborted=aborted,
        last_writes=last_writes(batches),
        now=now,
        delete_retention_ms=retention,
    )
    kept = [run.clean(read_header(batch), batch) for batch in batches]
    return [bytes(batch) for batch in kept if batch is not None], end


def aborted_in(batches: Sequence[bytes]) -> list[AbortedTransaction]:
    """As the partition knows them."""
    isolation, aborted = Isolation(), list[AbortedTransaction]()
    for position, batch in enumerate(batches):
        header = read_header(batch)
        if header.control and (gone := isolation.end(header, committed=marker_commits(header, batch))):
            aborted.append(gone)
        elif header.transactional and not header.control:
            isolation.note(header, position)
    return aborted


def last_writes(batches: Sequence[bytes]) -> Mapping[int, LastWrite]:
    last: dict[int, LastWrite] = {}
    for header in map(read_header, batches):
        if header.producer_id >= 0 and not header.control:
            last[header.producer_id] = LastWrite(header.producer_epoch, header.next_offset - 1)
    return last


def read_committed(
    batches: Sequence[bytes], since: int = 0, aborted: Sequence[AbortedTransaction] | None = None
) -> list[Shown]:
    """What a client shows which reads only committed records from `since` on.

    `aborted` are the transactions that the broker names to it; else those that the batches tell of.
    """
    if aborted is None:
        aborted = [gone for gone in aborted_in(batches) if gone.marker_offset >= since]
    begun = sorted(aborted, key=lambda gone: gone.first_offset)
    skipped, shown = set[int](), list[Shown]()
    for batch in batches:
        header = read_header(batch)
        if header.next_offset <= since:
            continue
        while begun and begun[0].first_offset <= header.base_offset:
            skipped.add(begun.pop(0).producer_id)
        if header.control:
            skipped.discard(header.producer_id)
        elif not (header.transactional and header.producer_id in skipped):
            shown += [
                (record.offset, record.key, record.value)
                for record in DefaultRecordBatch(bytearray(batch))
                if record.offset >= since
            ]
    return shown


def read(partition: Partition, since: int = 0) -> list[Shown]:
    """All that a client reads which goes on where each answer ends."""
    shown, position = list[Shown](), since
    while chunk := partition.read(position, 300, committed_only=True, whole_first=True):
        batches = whole_batches(chunk)
        shown += read_committed(batches, position, partition.aborted_from(position))
        position = read_header(batches[-1]).next_offset
    return shown


def final_values(records: Sequence[Shown]) -> dict[bytes | None, bytes]:
    """What a reader's table holds in the end: deleted keys are not in it."""
    table: dict[bytes | None, bytes | None] = {key: value for _, key, value in records}
    return {key: value for key, value in table.items() if value is not None}


def headers_of(batches: Sequence[bytes]) -> list[BatchHeader]:
    return [read_header(batch) for batch in batches]
