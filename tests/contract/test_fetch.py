"""Fetch: how much comes back and when, from the middle of a batch too, and what is said of places that are not there."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from tests.contract.batches import CODECS, batch_of, records_in
from tests.contract.clients import LIMIT, Kafka, fresh, read
from tests.contract.wire import READ_COMMITTED, fetched, fetching, metadata, produced, topic_id

NEVER = 60.0
"""Seconds that a waiting fetch would wait: far beyond the test's own limit."""


@pytest.mark.parametrize("codec", CODECS)
async def test_a_reader_may_begin_in_the_middle_of_a_batch(kafka: Kafka, codec: str) -> None:
    topic = await kafka.topic()
    values = [b"value %d" % i * 10 for i in range(100)]
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(*values, codec=codec))
        answer = await fetched(client, topic, 42)
    assert {record.offset: record.value for record in records_in(answer.records)} == dict(enumerate(values))

    async with kafka.consumer() as consumer:
        consumer.assign([at := TopicPartition(topic, 0)])
        consumer.seek(at, 42)
        assert [record.offset for record in await read(consumer, 58)] == list(range(42, 100))


async def test_a_batch_is_kept_in_its_producers_codec(kafka: Kafka) -> None:
    topic = await kafka.topic()
    compressed = batch_of(*[b"value" * 100] * 10, codec="zstd")
    async with kafka.wire() as client:
        await produced(client, topic, compressed)
        answer = await fetched(client, topic, 0)

    assert len(answer.records) == len(compressed)
    assert answer.records[61:] == compressed[61:]


async def test_a_batch_larger_than_every_limit_comes_whole(kafka: Kafka) -> None:
    """Else its reader would stand still for ever. It is the only one, however small the next."""
    topic = await kafka.topic()
    large = batch_of(b"x" * 100_000)
    async with kafka.wire() as client:
        await produced(client, topic, large)
        await produced(client, topic, batch_of(b"after"))
        answer = await fetched(client, topic, 0, max_bytes=10, partition_bytes=10)
        assert [len(record.value) for record in records_in(answer.records)] == [100_000]
        assert records_in((await fetched(client, topic, 1)).records)[0].value == b"after"


async def test_a_fetch_gives_no_more_bytes_than_asked_for_beyond_its_first_batch(kafka: Kafka) -> None:
    topics = [await kafka.topic(), await kafka.topic()]
    async with kafka.wire() as client:
        for topic in topics:
            await produced(client, topic, batch_of(b"x" * 1000))
        fields = fetching(dict.fromkeys(topics, 0), max_bytes=500)
        answer = await client.call(Api.FETCH, 12, fields)

    sizes = sorted(len(records_in(topic.partitions[0].records)) for topic in answer.responses)
    assert sizes == [0, 1]


async def test_a_produce_wakes_the_fetch_that_waits_for_it(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as reader, kafka.wire() as writer:
        waiting = asyncio.create_task(fetched(reader, topic, 0, max_wait=NEVER))
        await produced(writer, topic, batch_of(b"v"))
        answer = await asyncio.wait_for(waiting, LIMIT)

    assert [record.value for record in records_in(answer.records)] == [b"v"]


async def test_a_fetch_waits_until_there_is_as_much_as_it_wants(kafka: Kafka) -> None:
    topic = await kafka.topic()
    batch = batch_of(b"x" * 400)
    async with kafka.wire() as reader, kafka.wire() as writer:
        waiting = asyncio.create_task(fetched(reader, topic, 0, max_wait=NEVER, min_bytes=2 * len(batch)))
        await produced(writer, topic, batch)
        assert records_in((await fetched(writer, topic, 0)).records)
        assert not waiting.done()
        await produced(writer, topic, batch)
        answer = await asyncio.wait_for(waiting, LIMIT)

    assert [record.offset for record in records_in(answer.records)] == [0, 1]


async def test_a_fetch_that_has_waited_long_enough_gives_what_there_is(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(b"v"))
        answer = await fetched(client, topic, 0, max_wait=0.2, min_bytes=1 << 20)
        assert [record.value for record in records_in(answer.records)] == [b"v"]
        empty = await fetched(client, topic, 1, max_wait=0.2)
        assert (empty.error_code, empty.high_watermark, empty.records or b"") == (ErrorCode.none, 1, b"")


async def test_a_fetch_of_nothing_does_not_wait(kafka: Kafka) -> None:
    async with kafka.wire() as client:
        answer = await asyncio.wait_for(client.call(Api.FETCH, 12, fetching({}, max_wait=NEVER)), LIMIT)

    assert (answer.error_code, answer.responses) == (ErrorCode.none, ())


@pytest.mark.parametrize("offset", [-1, 6])
async def test_an_offset_outside_the_log_is_out_of_range_at_once(kafka: Kafka, offset: int) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(*[b"v"] * 5))
        answer = await asyncio.wait_for(fetched(client, topic, offset, max_wait=NEVER), LIMIT)

    assert answer.error_code is ErrorCode.offset_out_of_range


async def test_an_unknown_topic_is_told_at_once(kafka: Kafka) -> None:
    async with kafka.wire() as client:
        by_name = await asyncio.wait_for(fetched(client, fresh("unknown"), 0, max_wait=NEVER), LIMIT)
        answer = await asyncio.wait_for(
            client.call(Api.FETCH, 16, fetching({uuid4(): 0}, max_wait=NEVER)), LIMIT
        )

    assert by_name.error_code is ErrorCode.unknown_topic_or_partition
    [[by_id]] = [topic.partitions for topic in answer.responses]
    assert by_id.error_code is ErrorCode.unknown_topic_id


async def test_a_topic_created_again_is_another_one_to_who_knows_its_id(kafka: Kafka) -> None:
    """By name a reader would take the new topic's records for those that it had been reading."""
    topic = await kafka.topic()
    async with kafka.wire() as client:
        former = await topic_id(client, topic)
        await kafka.delete(topic)
        await kafka.create(topic)
        while (await metadata(client, topic)).topics[0].error_code is not ErrorCode.none:
            pass  # Apache Kafka's brokers learn of a topic a little after it was acknowledged
        present = await topic_id(client, topic)
        assert present != former
        await produced(client, topic, batch_of(b"new"))
        old, new = [(await client.call(Api.FETCH, 16, fetching({name: 0}))) for name in (former, present)]

    assert old.responses[0].partitions[0].error_code is ErrorCode.unknown_topic_id
    assert records_in(new.responses[0].partitions[0].records)[0].value == b"new"


async def test_a_leaders_term_that_has_not_begun_is_unknown(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        assert (await fetched(client, topic, 0, epoch=0)).error_code is ErrorCode.none
        assert (await fetched(client, topic, 0, epoch=7)).error_code is ErrorCode.unknown_leader_epoch


async def test_a_fetch_session_that_was_never_opened_is_not_found(kafka: Kafka) -> None:
    async with kafka.wire() as client:
        answer = await client.call(Api.FETCH, 12, fetching({await kafka.topic(): 0}, session=12345))

    assert answer.error_code is ErrorCode.fetch_session_id_not_found


async def test_an_open_transaction_is_seen_only_by_who_asks_for_everything(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.producer(transactional_id=fresh("txn")) as producer, kafka.wire() as client:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"open")
            everything = await fetched(client, topic, 0)
            committed = await fetched(client, topic, 0, isolation=READ_COMMITTED, max_wait=0.1)
            assert (everything.high_watermark, everything.last_stable_offset) == (1, 0)
            assert [record.value for record in records_in(everything.records)] == [b"open"]
            assert not committed.records
        after = await fetched(client, topic, 0, isolation=READ_COMMITTED, max_wait=LIMIT)

    assert records_in(after.records)[0].value == b"open"
    assert not after.aborted_transactions


async def test_aborted_transactions_are_named_to_who_reads_committed_records(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.producer(transactional_id=fresh("txn")) as producer, kafka.wire() as client:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        producer_id = producer._txn_manager.producer_id
        await producer.abort_transaction()
        committed = await fetched(client, topic, 0, isolation=READ_COMMITTED, max_wait=LIMIT)
        everything = await fetched(client, topic, 0)

    [aborted] = committed.aborted_transactions
    assert (aborted.producer_id, aborted.first_offset) == (producer_id, 0)
    assert not everything.aborted_transactions
    assert committed.last_stable_offset == 2
