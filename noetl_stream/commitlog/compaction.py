"""Compaction as a function over batches: the newest value of each key stays, at its offset and in its order.

It follows Kafka (KIP-58, KIP-98, KIP-534). A tombstone, and the marker of a transaction of which nothing is left, are
first given a horizon in their batch's header, `delete.retention.ms` ahead; only a pass after that time removes them, so
a reader who began before meets them. What aborted transactions wrote goes at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

from noetl_stream.commitlog.batch import BatchHeader, Octets
from noetl_stream.commitlog.isolation import AbortedTransaction
from noetl_stream.commitlog.key_offsets import KeyOffsets
from noetl_stream.commitlog.producers import LastWrite
from noetl_stream.commitlog.record_codec import Record, delete_horizon, read_records, rebuild


class AbortedRanges:
    """Which batches belong to aborted transactions."""

    def __init__(self, aborted: Iterable[AbortedTransaction]) -> None:
        self._of_producer: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for gone in sorted(aborted, key=lambda gone: gone.first_offset):
            self._of_producer[gone.producer_id].append((gone.first_offset, gone.marker_offset))

    def hold(self, header: BatchHeader) -> bool:
        if not header.transactional or header.producer_id not in self._of_producer:
            return False
        ranges = self._of_producer[header.producer_id]
        nearest = bisect_right(ranges, header.base_offset, key=lambda range_: range_[0]) - 1
        return nearest >= 0 and header.base_offset < ranges[nearest][1]


def note_keys(
    header: BatchHeader, batch: Octets, newest: KeyOffsets, *, since: int, aborted: AbortedRanges
) -> int | None:
    """Note the keys of one batch from offset `since` on; where its first record stands whose key found no room, or None.

    Raises:
        MalformedRecords: the batch cannot be read.
    """
    if header.control or aborted.hold(header):
        return None
    for record in read_records(header, batch):
        offset = header.base_offset + record.offset_delta
        if offset >= since and record.key is not None and not newest.note(record.key, offset):
            return offset
    return None


class Compaction:
    """One pass over a log, batch by batch from its beginning.

    `newest` covers the keys of everything that no earlier pass has cleaned, up to the offset `end`; nothing at or
    above `end` is changed. `now` and `delete_retention_ms` are in milliseconds.
    """

    def __init__(
        self,
        *,
        newest: KeyOffsets,
        end: int,
        aborted: AbortedRanges,
        last_writes: Mapping[int, LastWrite],
        now: int,
        delete_retention_ms: int,
    ) -> None:
        self._newest, self._end, self._aborted, self._last_writes = newest, end, aborted, last_writes
        self._now, self._horizon = now, now + delete_retention_ms
        self._met: set[int] = set()  # producers with batches since their last marker
        self.next_horizon: int | None = None
        self.removed_records = 0

    def clean(self, header: BatchHeader, batch: Octets) -> Octets | None:
        """What stays of a batch: itself if nothing changes, None if nothing stays.

        Raises:
            MalformedRecords: the batch cannot be read.
        """
        if header.base_offset >= self._end:
            return batch
        kept = self._marker(header, batch) if header.control else self._records(header, batch)
        return kept if kept is not None or not self._holds_place(header) else rebuild(header, ())

    def _records(self, header: BatchHeader, batch: Octets) -> Octets | None:
        if header.transactional:
            self._met.add(header.producer_id)
        records = [] if self._aborted.hold(header) else read_records(header, batch)
        kept = [record for record in records if self._stays(header, record)]
        self.removed_records += header.record_count - len(kept)
        if not kept and header.record_count:
            return None
        horizon = self._horizon_for(header, any(record.tombstone for record in kept))
        if len(kept) == header.record_count and horizon is None:
            return batch if kept or self._holds_place(header) else None
        return rebuild(header, kept, horizon=horizon)

    def _stays(self, header: BatchHeader, record: Record) -> bool:
        offset = header.base_offset + record.offset_delta
        if offset >= self._end:
            return True
        if record.key is None or offset < self._newest.newest(record.key):
            return False
        return not (record.tombstone and self._expired(header))

    def _marker(self, header: BatchHeader, batch: Octets) -> Octets | None:
        """A marker is of no more use once nothing of its transaction is left, but for a reader in the midst of it."""
        met = header.producer_id in self._met
        self._met.discard(header.producer_id)
        if met or self._holds_place(header):
            return batch
        if self._expired(header):
            return None
        horizon = self._horizon_for(header, True)
        return batch if horizon is None else rebuild(header, read_records(header, batch), horizon=horizon)

    def _expired(self, header: BatchHeader) -> bool:
        horizon = delete_horizon(header)
        return horizon is not None and horizon <= self._now

    def _horizon_for(self, header: BatchHeader, needed: bool) -> int | None:
        """The horizon to write into the batch, if it needs one and has none.

        A batch that reaches beyond this pass waits for the next: an older value of its last key may still be there.
        """
        if not needed or header.next_offset > self._end:
            return None
        existing = delete_horizon(header)
        due = self._horizon if existing is None else existing
        self.next_horizon = due if self.next_horizon is None else min(due, self.next_horizon)
        return due if existing is None else None

    def _holds_place(self, header: BatchHeader) -> bool:
        """Whether the batch must stay, if without records: for the sequence and epoch of its producer, or, as the last
        one of this pass, for the offset after it, which a reader must be able to reach."""
        if header.next_offset == self._end:
            return True
        last = self._last_writes.get(header.producer_id)
        if last is None:
            return False
        if last.offset is None:
            return header.control and header.producer_epoch == last.epoch
        return not header.control and header.next_offset - 1 == last.offset
