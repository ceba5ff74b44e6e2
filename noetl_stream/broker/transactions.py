"""The transaction coordinator: transactional producers, their epochs, and an end that is all or nothing.

A transaction's end is decided by one journal entry. Markers and offsets follow from it, and are written again after a
crash in between, so every partition sees the same verdict.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from kio.schema.errors import ErrorCode

from noetl_stream.broker.entries import Entry, ProducerIdsReserved, TransactionChanged
from noetl_stream.broker.journal import Journal
from noetl_stream.broker.offsets import Offsets, Position, TopicPartition
from noetl_stream.broker.timers import Timers
from noetl_stream.broker.topics import Topics
from noetl_stream.commitlog.batch import BatchHeader
from noetl_stream.commitlog.refusal import Refused

_ID_BLOCK = 1000
_LAST_EPOCH = 32766


class TransactionState(StrEnum):
    """Where a transactional producer stands. The two in between are left only once every marker is durable."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


_COMMIT_STATES = (TransactionState.PREPARE_COMMIT, TransactionState.COMPLETE_COMMIT)
_ABORT_STATES = (TransactionState.PREPARE_ABORT, TransactionState.COMPLETE_ABORT)
_UNFINISHED = (TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT)


@dataclass(slots=True, kw_only=True)
class Transaction:
    """A transactional producer and its current transaction. Changed only while `lock` is held."""

    transactional_id: str
    producer_id: int
    epoch: int
    timeout_ms: int
    state: TransactionState = TransactionState.EMPTY
    partitions: set[TopicPartition] = field(default_factory=set)
    offsets: dict[str, dict[TopicPartition, Position]] = field(default_factory=lambda: defaultdict(dict))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def entry(self) -> TransactionChanged:
        return TransactionChanged(
            transactional_id=self.transactional_id,
            producer_id=self.producer_id,
            epoch=self.epoch,
            timeout_ms=self.timeout_ms,
            state=self.state,
            partitions=sorted((at.topic, at.partition) for at in self.partitions),
            offsets=[
                (group, *at, *position)
                for group, positions in self.offsets.items()
                for at, position in positions.items()
            ],
        )


class Transactions:
    """Every transactional producer by its id, and the producer ids given out."""

    def __init__(self, topics: Topics, offsets: Offsets) -> None:
        self._topics, self._offsets = topics, offsets
        self._transactions: dict[str, Transaction] = {}
        self._by_producer: dict[int, Transaction] = {}
        self._next_producer_id = 0
        self._reserved_below = 0
        self._reserving = asyncio.Lock()
        self._timeouts = Timers(self._time_out)
        self._journal: Journal

    # Producers.

    async def new_producer_id(self) -> int:
        """An id never given out before. They are reserved by the thousand, so few of these wait for the disk."""
        async with self._reserving:
            if self._next_producer_id >= self._reserved_below:
                below = self._next_producer_id + _ID_BLOCK
                await self._journal.write(ProducerIdsReserved(below=below))
                self._reserved_below = below
            self._next_producer_id += 1
            return self._next_producer_id - 1

    async def begin_producer(self, transactional_id: str, timeout_ms: int) -> Transaction:
        """A new instance of a transactional producer: its predecessor is fenced and its transaction aborted."""
        transaction = self._transactions.get(transactional_id)
        if transaction is None:
            producer_id = await self.new_producer_id()
            transaction = self._transactions.setdefault(
                transactional_id,
                Transaction(
                    transactional_id=transactional_id,
                    producer_id=producer_id,
                    epoch=-1,
                    timeout_ms=timeout_ms,
                ),
            )
            self._by_producer[transaction.producer_id] = transaction
        async with transaction.lock:
            await self._next_epoch(transaction)
            transaction.timeout_ms, transaction.state = timeout_ms, TransactionState.EMPTY
            await self._journal.write(transaction.entry())
        return transaction

    async def _next_epoch(self, transaction: Transaction) -> None:
        if transaction.state in _UNFINISHED:
            await self._finish(transaction, committed=transaction.state is TransactionState.PREPARE_COMMIT)
        elif transaction.state is TransactionState.ONGOING:
            await self._fence_and_abort(transaction)
        if transaction.epoch >= _LAST_EPOCH:
            del self._by_producer[transaction.producer_id]
            transaction.producer_id, transaction.epoch = await self.new_producer_id(), -1
            self._by_producer[transaction.producer_id] = transaction
        transaction.epoch += 1

    async def _fence_and_abort(self, transaction: Transaction) -> None:
        """The abort markers carry the raised epoch, so that the old instance is fenced in every log."""
        transaction.epoch += 1
        await self._finish(transaction, committed=False)

    def current(self, transactional_id: str, producer_id: int, epoch: int) -> Transaction:
        """The transaction of a live producer.

        Raises:
            Refused: unknown, or a newer instance has taken over.
        """
        transaction = self._transactions.get(transactional_id)
        if transaction is None or transaction.producer_id != producer_id:
            raise Refused(ErrorCode.invalid_producer_id_mapping)
        if transaction.epoch != epoch:
            raise Refused(ErrorCode.producer_fenced)
        return transaction

    def check_append(self, header: BatchHeader, topic: str, partition: int) -> None:
        """Whether a transactional batch belongs to an ongoing transaction that has this partition.

        Raises:
            Refused: fenced, or no such transaction; appending would block every read_committed reader for ever.
        """
        transaction = self._by_producer.get(header.producer_id)
        if transaction is None:
            raise Refused(ErrorCode.invalid_producer_id_mapping)
        if transaction.epoch != header.producer_epoch:
            raise Refused(ErrorCode.invalid_producer_epoch)
        ongoing = transaction.state is TransactionState.ONGOING
        if not ongoing or TopicPartition(topic, partition) not in transaction.partitions:
            raise Refused(ErrorCode.invalid_txn_state)

    # One transaction.

    async def add(self, transaction: Transaction, epoch: int, partitions: Iterable[TopicPartition]) -> None:
        """Partitions the producer is about to write to; none of them when only offsets follow."""
        async with transaction.lock:
            _require_epoch(transaction, epoch)
            transaction.partitions.update(partitions)
            if transaction.state is not TransactionState.ONGOING:
                self._begin(transaction)
            await self._journal.write(transaction.entry())

    def _begin(self, transaction: Transaction) -> None:
        transaction.state = TransactionState.ONGOING
        self._timeouts.set(transaction.transactional_id, transaction.timeout_ms / 1000)

    async def _time_out(self, transactional_id: str) -> None:
        """Its producer is gone, and must not hold read_committed back for ever."""
        transaction = self._transactions[transactional_id]
        async with transaction.lock:
            if transaction.state is TransactionState.ONGOING:
                await self._fence_and_abort(transaction)

    async def add_offsets(
        self, transaction: Transaction, epoch: int, group: str, positions: dict[TopicPartition, Position]
    ) -> None:
        """Positions to be committed with the transaction.

        Raises:
            Refused: the producer was fenced, or has no transaction.
        """
        async with transaction.lock:
            _require_epoch(transaction, epoch)
            if transaction.state is not TransactionState.ONGOING:
                raise Refused(ErrorCode.invalid_txn_state)
            transaction.offsets[group].update(positions)
            await self._journal.write(transaction.entry())

    async def end(self, transaction: Transaction, epoch: int, *, committed: bool) -> None:
        """Commit or abort; saying the same again changes nothing.

        Raises:
            Refused: the producer was fenced, or there is nothing to end in that way.
        """
        async with transaction.lock:
            _require_epoch(transaction, epoch)
            prepared, completed = _COMMIT_STATES if committed else _ABORT_STATES
            if transaction.state is completed:
                return
            # Prepared but not completed: the disk failed in between, and the producer asks again.
            if transaction.state not in (TransactionState.ONGOING, prepared):
                raise Refused(ErrorCode.invalid_txn_state)
            await self._finish(transaction, committed=committed)

    def has_pending_offset(self, group: str, at: TopicPartition) -> bool:
        """Whether a transaction under way may still move this position."""
        return any(at in transaction.offsets.get(group, {}) for transaction in self._transactions.values())

    async def _finish(self, transaction: Transaction, *, committed: bool) -> None:
        """The first entry decides; `complete_unfinished` goes on from it after a crash."""
        transaction.state, _ = _COMMIT_STATES if committed else _ABORT_STATES
        await self._journal.write(transaction.entry())
        self._timeouts.cancel(transaction.transactional_id)
        await self._carry_out(transaction)

    async def _carry_out(self, transaction: Transaction) -> None:
        committed = transaction.state is TransactionState.PREPARE_COMMIT
        await self._write_markers(transaction, committed=committed)
        if committed:
            for group, positions in transaction.offsets.items():
                await self._offsets.commit(group, positions)
        _, transaction.state = _COMMIT_STATES if committed else _ABORT_STATES
        transaction.partitions.clear()
        transaction.offsets.clear()
        await self._journal.write(transaction.entry())

    async def _write_markers(self, transaction: Transaction, *, committed: bool) -> None:
        logs = []
        for topic_partition in transaction.partitions:
            topic = self._topics.find(topic_partition.topic)
            if topic is not None:  # else it was deleted meanwhile, and its records with it
                logs.append(topic.partitions[topic_partition.partition])
        for log in logs:
            log.end_transaction(
                producer_id=transaction.producer_id, epoch=transaction.epoch, committed=committed
            )
        for log in logs:
            await log.durable()

    # Recovery.

    def apply(self, entry: ProducerIdsReserved | TransactionChanged) -> None:
        match entry:
            case ProducerIdsReserved(below=below):
                self._next_producer_id = self._reserved_below = max(self._reserved_below, below)
            case TransactionChanged():
                self._restore(entry)

    def _restore(self, entry: TransactionChanged) -> None:
        transaction = Transaction(
            transactional_id=entry.transactional_id,
            producer_id=entry.producer_id,
            epoch=entry.epoch,
            timeout_ms=entry.timeout_ms,
            state=TransactionState(entry.state),
            partitions={TopicPartition(*at) for at in entry.partitions},
        )
        for group, topic, partition, offset, metadata in entry.offsets:
            transaction.offsets[group][TopicPartition(topic, partition)] = Position(offset, metadata)
        replaced = self._transactions.get(entry.transactional_id)
        if replaced is not None:
            self._by_producer.pop(replaced.producer_id, None)
        self._transactions[entry.transactional_id] = transaction
        self._by_producer[entry.producer_id] = transaction

    async def complete_unfinished(self) -> None:
        """After a crash: carry out what was decided and not finished, and give the others their time anew."""
        for transaction in self._transactions.values():
            if transaction.state is TransactionState.ONGOING:
                self._begin(transaction)
            elif transaction.state in _UNFINISHED:
                async with transaction.lock:
                    await self._carry_out(transaction)

    async def close(self) -> None:
        await self._timeouts.close()

    def entries(self) -> Iterator[Entry]:
        """All that the journal must say about producers."""
        yield ProducerIdsReserved(below=self._reserved_below)
        for transaction in self._transactions.values():
            yield transaction.entry()

    def record_changes_in(self, journal: Journal) -> None:
        self._journal = journal


def _require_epoch(transaction: Transaction, epoch: int) -> None:
    """Again under the lock: a newer instance may have come while this one waited."""
    if transaction.epoch != epoch:
        raise Refused(ErrorCode.producer_fenced)
