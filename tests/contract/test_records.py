"""Records: what is produced comes back as it was, in order, once, and promptly; what cannot be stored is refused."""

from __future__ import annotations

import asyncio
import os
import statistics
import time

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import ConsumerRecord

from tests.contract.batches import AN_HOUR_AGO, MEBIBYTE, batch_of
from tests.contract.clients import Kafka, end_offset, fresh, read, read_to_end, send_all

UNKNOWN_TOPIC_OR_PARTITION = 3
NO_ERROR = 0


def produce(topic: str, partition: int, batch: bytes) -> ProduceRequest:
    return ProduceRequest(
        transactional_id=None, required_acks=-1, timeout=5000, topics=[(topic, [(partition, batch)])]
    )


async def test_keys_headers_and_timestamps_come_back_as_sent(kafka: Kafka) -> None:
    topic = await kafka.topic()
    headers = [("h", b"1"), ("h", b"2"), ("empty", b"")]
    async with kafka.producer() as producer:
        await producer.send_and_wait(topic, b"v1", key=b"k1", headers=headers, timestamp_ms=AN_HOUR_AGO)
        await producer.send_and_wait(topic, None, key=b"k1")
        await producer.send_and_wait(topic, b"v3")

    async with kafka.consumer(topic) as consumer:
        full, tombstone, keyless = await read(consumer, 3)
    assert (full.offset, tombstone.offset, keyless.offset) == (0, 1, 2)
    assert (full.key, full.value, list(full.headers)) == (b"k1", b"v1", headers)
    assert (full.timestamp, full.timestamp_type) == (AN_HOUR_AGO, 0)
    assert (tombstone.key, tombstone.value) == (b"k1", None)
    assert (keyless.key, keyless.value) == (None, b"v3")
    assert keyless.timestamp > AN_HOUR_AGO


async def test_large_headers_come_back_as_sent(kafka: Kafka) -> None:
    topic = await kafka.topic()
    headers = [("large", os.urandom(MEBIBYTE // 4)), *((f"h{i}", os.urandom(1024)) for i in range(200))]
    async with kafka.producer() as producer:
        await producer.send_and_wait(topic, b"v", headers=headers)

    async with kafka.consumer(topic) as consumer:
        [record] = await read(consumer, 1)
    assert list(record.headers) == headers


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_compressed_batches_come_back_whole_and_in_order(kafka: Kafka, codec: str) -> None:
    topic = await kafka.topic()
    values = [b"abc" * 100 + b"%d" % i for i in range(500)]
    async with kafka.producer(compression_type=codec, linger_ms=20) as producer:
        await send_all(producer, topic, values)

    async with kafka.consumer(topic) as consumer:
        records = await read(consumer, 500)
    assert [record.value for record in records] == values
    assert [record.offset for record in records] == list(range(500))


@pytest.mark.parametrize("mebibytes", [1, 5])
async def test_a_large_record_comes_back_whole(kafka: Kafka, mebibytes: int) -> None:
    topic = await kafka.topic(max_message_bytes=str(16 * MEBIBYTE))
    value = os.urandom(mebibytes * MEBIBYTE)
    async with kafka.producer(max_request_size=32 * MEBIBYTE) as producer:
        await producer.send_and_wait(topic, value)

    async with kafka.consumer(topic, max_partition_fetch_bytes=32 * MEBIBYTE) as consumer:
        [record] = await read(consumer, 1)
    assert record.value == value


async def test_a_record_over_its_topics_limit_is_refused(kafka: Kafka) -> None:
    topic = await kafka.topic(max_message_bytes="1000")

    async with kafka.producer() as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, b"z" * 2000)
        assert (await producer.send_and_wait(topic, b"small")).offset == 0


async def test_a_record_above_the_fetch_limit_does_not_block_those_behind_it(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.producer() as producer:
        await producer.send_and_wait(topic, b"z" * 500_000)
        await producer.send_and_wait(topic, b"after")

    async with kafka.consumer(topic, max_partition_fetch_bytes=1000) as consumer:
        large, after = await read(consumer, 2)
    assert (len(large.value), after.value) == (500_000, b"after")


async def test_each_partition_keeps_each_producers_order(kafka: Kafka) -> None:
    """Four producers write to three partitions at once; every one finds its records in the order it sent them."""
    topic = await kafka.topic(3)

    async def write(name: bytes) -> None:
        async with kafka.producer(linger_ms=1) as producer:
            for partition in range(3):
                await send_all(
                    producer, topic, [b"%s %d" % (name, i) for i in range(100)], partition=partition
                )

    await asyncio.gather(*[write(name) for name in (b"a", b"b", b"c", b"d")])

    async with kafka.consumer(topic) as consumer:
        records = await read(consumer, 1200)
    for partition in range(3):
        here = [record for record in records if record.partition == partition]
        assert [record.offset for record in here] == list(range(400))
        for name in (b"a", b"b", b"c", b"d"):
            assert numbers_of(name, here) == list(range(100))


def numbers_of(name: bytes, records: list[ConsumerRecord]) -> list[int]:
    return [int(record.value.split()[1]) for record in records if record.value.startswith(name)]


async def test_a_waiting_reader_gets_a_record_at_once(kafka: Kafka) -> None:
    """A produce wakes the fetch that waits for it: no record waits for the fetch's own time limit."""
    topic = await kafka.topic()
    seconds = []
    async with kafka.consumer(topic, fetch_max_wait_ms=5000) as consumer, kafka.producer() as producer:
        for _ in range(20):
            waiting = asyncio.create_task(consumer.getone())
            started = time.perf_counter()
            await producer.send_and_wait(topic, b"x")
            await asyncio.wait_for(waiting, 2)
            seconds.append(time.perf_counter() - started)

    assert statistics.median(seconds) < 0.1


async def test_an_idempotent_producer_stores_every_record_once(kafka: Kafka) -> None:
    topic = await kafka.topic(2)
    async with kafka.producer(enable_idempotence=True) as producer:
        for partition in range(2):
            await send_all(producer, topic, [b"%d" % i for i in range(500)], partition=partition)

    async with kafka.consumer(topic) as consumer:
        records = await read_to_end(consumer)
    for partition in range(2):
        assert [int(r.value) for r in records if r.partition == partition] == list(range(500))


async def test_a_batch_sent_twice_by_an_idempotent_producer_is_stored_once(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.producer(enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, b"first")
        identity = producer._txn_manager
        again = batch_of(
            b"again", producer_id=identity.producer_id, epoch=identity.producer_epoch, sequence=1
        )
        for _ in range(2):
            assert await produced(producer, produce(topic, 0, again)) == (NO_ERROR, 1)

    async with kafka.consumer() as consumer:
        assert await end_offset(consumer, topic) == 2


async def test_a_partition_that_does_not_exist_takes_no_record(kafka: Kafka) -> None:
    topic = await kafka.topic(2)
    async with kafka.producer() as producer:
        await producer.send_and_wait(topic, b"first", partition=0)
        code, _ = await produced(producer, produce(topic, 7, batch_of(b"lost")))

    assert code == UNKNOWN_TOPIC_OR_PARTITION
    assert await kafka.partitions(topic) == {0, 1}


async def test_an_unknown_topic_takes_no_record(kafka: Kafka) -> None:
    """A produce request never creates a topic; the metadata request before it may."""
    unknown = fresh("unknown")
    async with kafka.producer() as producer:
        code, _ = await produced(producer, produce(unknown, 0, batch_of(b"lost")))

    assert code == UNKNOWN_TOPIC_OR_PARTITION
    async with kafka.admin() as admin:
        assert unknown not in await admin.list_topics()


async def produced(producer: object, request: ProduceRequest) -> tuple[int, int]:
    """The error code and offset that the broker answers to a produce request of one batch."""
    client = producer.client  # type: ignore[attr-defined]
    answer = await client.send(client.get_random_node(), request)
    [(_, [(_, code, offset, *_)])] = answer.topics
    return code, offset
