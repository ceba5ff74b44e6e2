"""The transaction coordinator: transactional producers, their epochs, and an end that is all or nothing.

A transaction's end is decided by one journal entry. Markers and offsets follow from it, and are written again after a
crash in between, so every partition sees the same verdict.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

from kio.schema.errors import ErrorCode

from noetl_stream.broker.clock import wall_clock
from noetl_stream.broker.entries import ProducerIdsReserved, TransactionChanged, TransactionForgotten
from noetl_stream.broker.journal import Journal
from noetl_stream.broker.offsets import Offsets, TopicPartition
from noetl_stream.broker.producer_ids import ProducerIds
from noetl_stream.broker.timers import Timers
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transaction import (
    LAST_EPOCH,
    UNFINISHED,
    Positions,
    Transaction,
    TransactionState,
    restored,
)
from noetl_stream.commitlog.batch import BatchHeader
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.refusal import Refused

_TRY_AGAIN = 1.0

logger = logging.getLogger(__name__)


class Transactions:
    """Every transactional producer by its id. A change is in the journal before it is seen here."""

    def __init__(self, topics: Topics, offsets: Offsets) -> None:
        self._topics, self._offsets = topics, offsets
        self._transactions: dict[str, Transaction] = {}
        self._by_producer: dict[int, str] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._timeouts = Timers(self._time_out)
        self.producer_ids = ProducerIds()
        self._journal: Journal

    def __iter__(self) -> Iterator[Transaction]:
        return iter(tuple(self._transactions.values()))

    def find(self, transactional_id: str) -> Transaction | None:
        return self._transactions.get(transactional_id)

    async def _record(self, transaction: Transaction) -> Transaction:
        await self._journal.write(transaction.entry())
        self._hold(transaction)
        return transaction

    def _hold(self, transaction: Transaction) -> None:
        former = self._transactions.get(transaction.transactional_id)
        if former is not None:
            self._by_producer.pop(former.producer_id, None)
        self._transactions[transaction.transactional_id] = transaction
        self._by_producer[transaction.producer_id] = transaction.transactional_id

    # Producers.

    async def begin_producer(
        self, transactional_id: str, timeout_ms: int, former: tuple[int, int] | None
    ) -> Transaction:
        """A new instance of a transactional producer: its predecessor is fenced and its transaction aborted.

        `former` is the producer id and epoch of one that renews itself (KIP-360).

        Raises:
            Refused: a newer instance has taken over from it.
        """
        async with self._lock(transactional_id):
            current = self._transactions.get(transactional_id)
            if current is None:
                return await self._record(await self._first(transactional_id, timeout_ms))
            if former is not None:
                if former == current.former:
                    return current  # it missed the answer to its renewal
                _require_identity(current, former)
            settled = await self._settled(current)
            renewed = settled.renewed(timeout_ms=timeout_ms, now=wall_clock(), former=former)
            if settled.epoch >= LAST_EPOCH:
                renewed = replace(renewed, producer_id=await self.producer_ids.new(), epoch=0)
            return await self._record(renewed)

    async def _first(self, transactional_id: str, timeout_ms: int) -> Transaction:
        return Transaction(
            transactional_id=transactional_id,
            producer_id=await self.producer_ids.new(),
            epoch=0,
            timeout_ms=timeout_ms,
            at=wall_clock(),
        )

    async def _settled(self, transaction: Transaction) -> Transaction:
        """What its predecessor left: a decided end is carried out, an open transaction aborted."""
        if transaction.state in UNFINISHED:
            return await self._carry_out(transaction)
        if transaction.state is TransactionState.ONGOING:
            return await self._finish(transaction.fenced(), committed=False)
        return transaction

    def check_append(self, header: BatchHeader, topic: str, partition: int) -> None:
        """Whether a producer's batch belongs where it stands: in its ongoing transaction, or outside any.

        Raises:
            Refused: fenced, or no such transaction; appending would block every read_committed reader for ever.
        """
        name = self._by_producer.get(header.producer_id)
        if name is None:
            if header.transactional:
                raise Refused(ErrorCode.invalid_producer_id_mapping)
            return
        transaction = self._transactions[name]
        if transaction.epoch != header.producer_epoch:
            raise Refused(ErrorCode.invalid_producer_epoch)
        ongoing = transaction.state is TransactionState.ONGOING
        added = TopicPartition(topic, partition) in transaction.partitions
        if header.transactional != ongoing or (ongoing and not added):
            raise Refused(ErrorCode.invalid_txn_state)

    # One transaction. Each of these raises Refused for a producer that is unknown, fenced, or in no state for it.

    async def add(
        self, transactional_id: str, producer: tuple[int, int], partitions: Iterable[TopicPartition]
    ) -> None:
        """Partitions the producer is about to write to; none of them when only offsets follow."""
        async with self._held(transactional_id, producer) as transaction:
            begins = transaction.state is not TransactionState.ONGOING
            await self._record(transaction.writing(partitions, wall_clock()))
            if begins:
                self._timeouts.set(transactional_id, transaction.timeout_ms / 1000)

    async def add_offsets(
        self, transactional_id: str, producer: tuple[int, int], group: str, positions: Positions
    ) -> None:
        """Positions to be committed with the transaction."""
        async with self._held(transactional_id, producer) as transaction:
            standing = self._standing(positions)
            await self._record(transaction.committing(group, standing, wall_clock()))

    async def end(self, transactional_id: str, producer: tuple[int, int], *, committed: bool) -> None:
        """Commit or abort; saying the same again changes nothing."""
        async with self._held(transactional_id, producer) as transaction:
            if transaction.is_idle:
                transaction.ending(committed=committed, now=wall_clock())
                return
            await self._finish(transaction, committed=committed)

    @asynccontextmanager
    async def _held(self, transactional_id: str, producer: tuple[int, int]) -> AsyncIterator[Transaction]:
        """Looked at again under the lock: a newer instance may have come while this one waited."""
        self._current(transactional_id, producer)
        async with self._lock(transactional_id):
            yield self._current(transactional_id, producer)

    def _lock(self, transactional_id: str) -> asyncio.Lock:
        """Kept for as long as somebody holds it or waits for it."""
        return self._locks.setdefault(transactional_id, asyncio.Lock())

    def _current(self, transactional_id: str, producer: tuple[int, int]) -> Transaction:
        transaction = self._transactions.get(transactional_id)
        if transaction is None:
            raise Refused(ErrorCode.invalid_producer_id_mapping)
        transaction.require_epoch(*producer)
        return transaction

    def has_pending_offset(self, group: str, at: TopicPartition) -> bool:
        """Whether a transaction under way may still move this position."""
        return any(at in transaction.offsets.get(group, {}) for transaction in self._transactions.values())

    # The end.

    async def _finish(self, transaction: Transaction, *, committed: bool) -> Transaction:
        """The first entry decides; `complete_unfinished` goes on from it after a crash."""
        decided = await self._record(transaction.ending(committed=committed, now=wall_clock()))
        return await self._carry_out(decided)

    async def _carry_out(self, transaction: Transaction) -> Transaction:
        """Until it is done it is tried again, so that a disk full for a while leaves no transaction hanging."""
        self._timeouts.set(transaction.transactional_id, _TRY_AGAIN)
        await self._write_markers(transaction)
        if transaction.commits:
            for group in transaction.offsets:
                held = self._transactions[transaction.transactional_id].offsets.get(group, {})
                if standing := self._standing(held):
                    await self._offsets.commit(group, standing)
        ended = await self._record(transaction.ended(wall_clock()))
        self._timeouts.cancel(transaction.transactional_id)
        return ended

    async def _write_markers(self, transaction: Transaction) -> None:
        logs, now = list(self._logs(transaction)), wall_clock()
        for log in logs:
            log.end_transaction(
                producer_id=transaction.producer_id,
                epoch=transaction.epoch,
                committed=transaction.commits,
                now=now,
            )
        for log in logs:
            await log.durable()

    def _logs(self, transaction: Transaction) -> Iterator[Partition]:
        for name, index in sorted(transaction.partitions):
            topic = self._topics.find(name)
            # Else it was deleted meanwhile, and its records with it; one of its name may have fewer partitions.
            if topic is not None and index < len(topic.partitions):
                yield topic.partitions[index]

    def _standing(self, positions: Positions) -> Positions:
        """Without those of a topic that was deleted while a request waited."""
        return {at: position for at, position in positions.items() if self._topics.find(at.topic) is not None}

    def forget_topic(self, name: str) -> None:
        """A topic was deleted, and positions in it with it: also those that a transaction was yet to commit."""
        for transactional_id, transaction in self._transactions.items():
            self._transactions[transactional_id] = transaction.without_positions_in(name)

    async def _time_out(self, transactional_id: str) -> None:
        """Its producer is gone, and must not hold read_committed back for ever; or its end is not carried out yet."""
        async with self._lock(transactional_id):
            transaction = self._transactions.get(transactional_id)
            if transaction is not None and not transaction.is_idle:
                self._timeouts.set(transactional_id, _TRY_AGAIN)
                await self._settled(transaction)

    async def forget_idle(self, before: int) -> None:
        """Forget transactional ids that nobody has used since `before`."""
        for transaction in self:
            async with self._lock(transaction.transactional_id):
                if self._transactions.get(transaction.transactional_id) is not transaction:
                    continue
                if transaction.is_idle and transaction.at < before:
                    entry = TransactionForgotten(transactional_id=transaction.transactional_id)
                    await self._journal.write(entry)
                    self.apply(entry)

    # Recovery.

    def apply(self, entry: ProducerIdsReserved | TransactionChanged | TransactionForgotten) -> None:
        match entry:
            case ProducerIdsReserved():
                self.producer_ids.apply(entry)
            case TransactionChanged():
                self._hold(restored(entry, wall_clock()))
            case TransactionForgotten(transactional_id=transactional_id):
                gone = self._transactions.pop(transactional_id)
                self._by_producer.pop(gone.producer_id, None)

    async def complete_unfinished(self) -> None:
        """After a crash: carry out what was decided and not finished, and give the others their time anew."""
        for transaction in self:
            async with self._lock(transaction.transactional_id):
                if transaction.state is TransactionState.ONGOING:
                    self._timeouts.set(transaction.transactional_id, transaction.timeout_ms / 1000)
                elif transaction.state in UNFINISHED:
                    await self._carry_out_if_there_is_room(transaction)

    async def _carry_out_if_there_is_room(self, transaction: Transaction) -> None:
        try:
            await self._carry_out(transaction)
        except OSError as error:
            name = transaction.transactional_id
            logger.warning("the end of transaction %s is carried out when the disk takes it: %s", name, error)

    async def close(self) -> None:
        await self._timeouts.close()

    def entries(self) -> Iterator[ProducerIdsReserved | TransactionChanged]:
        """All that the journal must say about producers."""
        yield self.producer_ids.entry()
        for transaction in self:
            yield transaction.entry()

    def record_changes_in(self, journal: Journal) -> None:
        self._journal = journal
        self.producer_ids.record_changes_in(journal)


def _require_identity(transaction: Transaction, producer: tuple[int, int]) -> None:
    """A renewal by somebody else is fenced, whatever id it names."""
    if transaction.identity != producer:
        raise Refused(ErrorCode.producer_fenced)
