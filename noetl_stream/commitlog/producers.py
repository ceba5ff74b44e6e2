"""Idempotence in one partition: what each producer wrote last, so that a repeated batch is kept once."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kio.schema.errors import ErrorCode

from noetl_stream.commitlog.batch import MAX_SEQUENCE, BatchHeader
from noetl_stream.commitlog.refusal import Refused

_REMEMBERED_BATCHES = 5  # a producer has at most five requests in flight


class WrittenBatch(NamedTuple):
    """A batch of the recent past, by its sequence numbers."""

    first_sequence: int
    last_sequence: int
    base_offset: int

    @property
    def last_offset(self) -> int:
        return self.base_offset + ((self.last_sequence - self.first_sequence) & MAX_SEQUENCE)


class ProducerView(NamedTuple):
    """What is known of one producer. `last_sequence` is -1 if it has only ended transactions here."""

    producer_id: int
    epoch: int
    last_sequence: int
    last_timestamp: int


class LastWrite(NamedTuple):
    """What a producer wrote last: the last offset of its last batch, None if there are only markers of its epoch."""

    epoch: int
    offset: int | None


@dataclass(slots=True, kw_only=True)
class _Producer:
    epoch: int
    last_timestamp: int = -1
    batches: deque[WrittenBatch] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_BATCHES))

    @property
    def last_write(self) -> LastWrite:
        return LastWrite(self.epoch, self.batches[-1].last_offset if self.batches else None)


class Producers:
    """The idempotent producers of a partition. At start they come from its last checkpoint and the log behind it."""

    def __init__(self) -> None:
        self._producers: dict[int, _Producer] = {}

    def duplicate_of(self, header: BatchHeader) -> int | None:
        """The base offset at which this very batch already stands, or None if it is the producer's next one.

        A producer not seen here may begin anywhere: its history may have been deleted.

        Raises:
            Refused: an older epoch, or a gap in the sequence.
        """
        known = self._producers.get(header.producer_id)
        if known is None:
            return None
        if header.producer_epoch < known.epoch:
            raise Refused(
                ErrorCode.invalid_producer_epoch, "a newer instance of this producer has written here"
            )
        if header.producer_epoch > known.epoch:
            _require_start(header)
            return None
        if not known.batches:
            return None
        for batch in known.batches:
            if (batch.first_sequence, batch.last_sequence) == (header.base_sequence, header.last_sequence):
                return batch.base_offset
        expected = (known.batches[-1].last_sequence + 1) & MAX_SEQUENCE
        if header.base_sequence != expected:
            raise Refused(
                ErrorCode.out_of_order_sequence_number,
                f"sequence {header.base_sequence} came where {expected} was expected",
            )
        return None

    def note(self, header: BatchHeader) -> None:
        """A batch of an idempotent producer, or a marker of its transaction, was appended."""
        known = self._producers.get(header.producer_id)
        if known is None or known.epoch != header.producer_epoch:
            known = self._producers[header.producer_id] = _Producer(epoch=header.producer_epoch)
        known.last_timestamp = header.max_timestamp
        if not header.control:
            known.batches.append(WrittenBatch(header.base_sequence, header.last_sequence, header.base_offset))

    def expire(self, before: int, but: Collection[int]) -> None:
        """Forget who last wrote before that time (milliseconds), `but` these."""
        idle = [
            at for at, known in self._producers.items() if known.last_timestamp < before and at not in but
        ]
        for producer_id in idle:
            del self._producers[producer_id]

    def __iter__(self) -> Iterator[ProducerView]:
        for producer_id, known in self._producers.items():
            last = known.batches[-1].last_sequence if known.batches else -1
            yield ProducerView(producer_id, known.epoch, last, known.last_timestamp)

    def last_writes(self) -> dict[int, LastWrite]:
        """By producer id."""
        return {producer_id: known.last_write for producer_id, known in self._producers.items()}

    def dump(self) -> list[list[object]]:
        """All that `load` needs, as JSON takes it."""
        return [
            [producer_id, known.epoch, known.last_timestamp, [list(batch) for batch in known.batches]]
            for producer_id, known in self._producers.items()
        ]

    def load(self, dumped: Iterable[tuple[int, int, int, list[list[int]]]]) -> None:
        """Know what `dump` told."""
        for producer_id, epoch, last_timestamp, batches in dumped:
            known = _Producer(epoch=epoch, last_timestamp=last_timestamp)
            known.batches.extend(WrittenBatch._make(batch) for batch in batches)
            self._producers[producer_id] = known


def _require_start(header: BatchHeader) -> None:
    if header.base_sequence != 0:
        raise Refused(
            ErrorCode.out_of_order_sequence_number,
            f"a new epoch begins at sequence 0, not at {header.base_sequence}",
        )
