"""Transactions: what is committed is read together, what is aborted never, and a fenced producer commits nothing."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from tests.contract.clients import Kafka, fresh, read, read_to_end


async def test_a_reader_of_committed_records_sees_neither_aborted_nor_open_ones(kafka: Kafka) -> None:
    topic = await kafka.topic()
    partition = TopicPartition(topic, 0)
    async with (
        kafka.producer(transactional_id=fresh("transaction")) as producer,
        kafka.consumer(topic, isolation_level="read_committed") as committed,
        kafka.consumer(topic, isolation_level="read_uncommitted") as all_of_them,
    ):
        async with producer.transaction():
            await producer.send_and_wait(topic, b"first")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"second")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open")

        assert [record.value for record in await read_to_end(committed)] == [b"first", b"second"]
        assert [record.value for record in await read(all_of_them, 4)] == [
            b"first",
            b"aborted",
            b"second",
            b"open",
        ]
        assert (await committed.end_offsets([partition]))[partition] == 6
        assert (await all_of_them.end_offsets([partition]))[partition] == 7

        await producer.commit_transaction()
        assert [record.value for record in await read(committed, 1)] == [b"open"]


async def test_offsets_are_committed_with_their_transaction_or_not_at_all(kafka: Kafka) -> None:
    topic, group = await kafka.topic(), fresh("group")
    partition = TopicPartition(topic, 0)

    async def committed() -> int | None:
        async with kafka.admin() as admin:
            offsets = await admin.list_consumer_group_offsets(group)
        return offsets[partition].offset if partition in offsets else None

    async with kafka.producer(transactional_id=fresh("transaction")) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"x")
        await producer.send_offsets_to_transaction({partition: OffsetAndMetadata(7, "")}, group)
        assert await committed() in (None, -1)
        await producer.commit_transaction()

        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({partition: OffsetAndMetadata(99, "")}, group)
        await producer.abort_transaction()
    assert await committed() == 7


async def test_a_second_producer_of_a_transactional_id_fences_the_first(kafka: Kafka) -> None:
    topic, identity = await kafka.topic(), fresh("transaction")
    async with kafka.producer(transactional_id=identity) as former:
        await former.begin_transaction()
        await former.send_and_wait(topic, b"of the former")
        async with kafka.producer(transactional_id=identity) as successor:
            async with successor.transaction():
                await successor.send_and_wait(topic, b"of the successor")
            with pytest.raises(ProducerFenced):
                await former.send_and_wait(topic, b"too late")

    async with kafka.consumer(topic, isolation_level="read_committed") as consumer:
        assert [record.value for record in await read_to_end(consumer)] == [b"of the successor"]


async def test_a_transaction_that_outlives_its_timeout_is_aborted(kafka: Kafka) -> None:
    """A producer that died in a transaction must not hold back the readers of committed records for ever."""
    topic = await kafka.topic()
    identity = fresh("transaction")
    async with (
        kafka.producer(transactional_id=identity, transaction_timeout_ms=1000) as forgotten,
        kafka.producer() as producer,
        kafka.consumer(topic, isolation_level="read_committed") as consumer,
    ):
        await forgotten.begin_transaction()
        await forgotten.send_and_wait(topic, b"never committed")
        await producer.send_and_wait(topic, b"behind it")

        assert [record.value for record in await read(consumer, 1)] == [b"behind it"]
        with pytest.raises(ProducerFenced):
            await forgotten.commit_transaction()
