"""One transactional producer and its transaction, as a value: whatever may happen to it is a row of the table.

Every change is a new value, made from the old one and the time. The coordinator journals a value before it holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, Self

from kio.schema.errors import ErrorCode

from noetl_stream.broker.entries import TransactionChanged
from noetl_stream.broker.offsets import Position, TopicPartition
from noetl_stream.commitlog.refusal import Refused

LAST_EPOCH = 32766
"""Epochs are 16-bit; one more is left to fence a producer that has reached this one."""


class TransactionState(StrEnum):
    """Named as DescribeTransactions shows them."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


Event = Literal["renew", "write", "commit", "abort", "complete"]

ARROWS: Mapping[tuple[TransactionState, Event], TransactionState] = {
    (TransactionState.EMPTY, "renew"): TransactionState.EMPTY,
    (TransactionState.COMPLETE_COMMIT, "renew"): TransactionState.EMPTY,
    (TransactionState.COMPLETE_ABORT, "renew"): TransactionState.EMPTY,
    (TransactionState.EMPTY, "write"): TransactionState.ONGOING,
    (TransactionState.COMPLETE_COMMIT, "write"): TransactionState.ONGOING,
    (TransactionState.COMPLETE_ABORT, "write"): TransactionState.ONGOING,
    (TransactionState.ONGOING, "write"): TransactionState.ONGOING,
    (TransactionState.ONGOING, "commit"): TransactionState.PREPARE_COMMIT,
    (TransactionState.ONGOING, "abort"): TransactionState.PREPARE_ABORT,
    (TransactionState.PREPARE_COMMIT, "commit"): TransactionState.PREPARE_COMMIT,
    (TransactionState.PREPARE_ABORT, "abort"): TransactionState.PREPARE_ABORT,
    (TransactionState.PREPARE_COMMIT, "complete"): TransactionState.COMPLETE_COMMIT,
    (TransactionState.PREPARE_ABORT, "complete"): TransactionState.COMPLETE_ABORT,
    # A client that repeats its request, having missed the answer.
    (TransactionState.COMPLETE_COMMIT, "commit"): TransactionState.COMPLETE_COMMIT,
    (TransactionState.COMPLETE_ABORT, "abort"): TransactionState.COMPLETE_ABORT,
}
"""What is not here is refused with INVALID_TXN_STATE."""

UNFINISHED = (TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT)
"""The end is decided; markers and positions may be missing. Left only once all of them are durable."""

Positions = Mapping[TopicPartition, Position]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transactional producer. Times are in milliseconds; `offsets` by group; `began` is -1 outside a transaction."""

    transactional_id: str
    producer_id: int
    epoch: int
    timeout_ms: int
    state: TransactionState = TransactionState.EMPTY
    partitions: frozenset[TopicPartition] = frozenset()
    offsets: Mapping[str, Positions] = field(default_factory=dict)
    began: int = -1
    at: int
    former: tuple[int, int] | None = None
    """The identity from which the producer itself asked for this one (KIP-360). It may ask again until a restart."""

    @property
    def identity(self) -> tuple[int, int]:
        return self.producer_id, self.epoch

    @property
    def commits(self) -> bool:
        return self.state is TransactionState.PREPARE_COMMIT

    @property
    def is_idle(self) -> bool:
        return self.state is not TransactionState.ONGOING and self.state not in UNFINISHED

    def require_epoch(self, producer_id: int, epoch: int) -> None:
        """Raises Refused where another producer, or a newer instance of this one, holds the transactional id."""
        if self.producer_id != producer_id:
            raise Refused(ErrorCode.invalid_producer_id_mapping)
        if self.epoch != epoch:
            raise Refused(ErrorCode.producer_fenced)

    def renewed(self, *, timeout_ms: int, now: int, former: tuple[int, int] | None) -> Self:
        """A new instance, which fences the one before it."""
        changed = self._moved("renew", now)
        return replace(changed, epoch=self.epoch + 1, timeout_ms=timeout_ms, former=former)

    def fenced(self) -> Self:
        """Abort markers carry the raised epoch, so that the old instance is fenced in every log."""
        return replace(self, epoch=self.epoch + 1, former=None)

    def writing(self, partitions: Iterable[TopicPartition], now: int) -> Self:
        """About to write to partitions; to none of them when only positions follow."""
        changed = self._moved("write", now)
        began = self.began if self.state is TransactionState.ONGOING else now
        return replace(changed, partitions=self.partitions.union(partitions), began=began)

    def committing(self, group: str, positions: Positions, now: int) -> Self:
        """Positions of a group, to stand if the transaction commits."""
        if self.state is not TransactionState.ONGOING:
            raise Refused(ErrorCode.invalid_txn_state)
        together = {**self.offsets.get(group, {}), **positions}
        return replace(self, offsets={**self.offsets, group: together}, at=now)

    def without_positions_in(self, topic: str) -> Self:
        """What is left once the topic is gone. That is in no entry of its own: the topic's says so."""
        offsets = {
            group: {at: position for at, position in positions.items() if at.topic != topic}
            for group, positions in self.offsets.items()
        }
        return replace(self, offsets=offsets)

    def ending(self, *, committed: bool, now: int) -> Self:
        """The end is decided."""
        return self._moved("commit" if committed else "abort", now)

    def ended(self, now: int) -> Self:
        """Markers and positions are durable."""
        return replace(self._moved("complete", now), partitions=frozenset(), offsets={}, began=-1)

    def _moved(self, event: Event, now: int) -> Self:
        after = ARROWS.get((self.state, event))
        if after is None:
            raise Refused(ErrorCode.invalid_txn_state)
        return replace(self, state=after, at=now)

    def entry(self) -> TransactionChanged:
        return TransactionChanged(
            transactional_id=self.transactional_id,
            producer_id=self.producer_id,
            epoch=self.epoch,
            timeout_ms=self.timeout_ms,
            state=self.state,
            partitions=sorted((at.topic, at.partition) for at in self.partitions),
            offsets=[
                (group, *at, position.offset, position.metadata)
                for group, positions in self.offsets.items()
                for at, position in positions.items()
            ],
            began=self.began,
            at=self.at,
        )


def restored(entry: TransactionChanged, now: int) -> Transaction:
    """The value that an entry describes."""
    offsets: dict[str, dict[TopicPartition, Position]] = {}
    for group, topic, partition, offset, metadata in entry.offsets:
        offsets.setdefault(group, {})[TopicPartition(topic, partition)] = Position(offset, metadata)
    return Transaction(
        transactional_id=entry.transactional_id,
        producer_id=entry.producer_id,
        epoch=entry.epoch,
        timeout_ms=entry.timeout_ms,
        state=TransactionState(entry.state),
        partitions=frozenset(TopicPartition(*at) for at in entry.partitions),
        offsets=offsets,
        began=entry.began,
        at=entry.at if entry.at >= 0 else now,
    )
