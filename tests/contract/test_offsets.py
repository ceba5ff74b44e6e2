"""Offsets: where a log begins and ends, which one a time has, and what a reader finds there after compaction."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.contract.batches import AN_HOUR_AGO
from tests.contract.clients import Kafka, read, read_to_end, send_all

BASE = AN_HOUR_AGO
SECOND = 1000


async def test_a_reader_can_seek_within_beginning_and_end(kafka: Kafka) -> None:
    topic = await kafka.topic(2)
    even, odd = TopicPartition(topic, 0), TopicPartition(topic, 1)
    async with kafka.producer() as producer:
        for partition in range(2):
            await send_all(
                producer, topic, [b"%d" % i for i in range(partition, 100, 2)], partition=partition
            )

    async with kafka.consumer() as consumer:
        consumer.assign([even, odd])
        assert await consumer.beginning_offsets([even, odd]) == {even: 0, odd: 0}
        assert await consumer.end_offsets([even, odd]) == {even: 50, odd: 50}

        consumer.seek(even, 40)
        consumer.seek(odd, 45)
        values = sorted(int(record.value) for record in await read(consumer, 15))
        assert values == sorted([*range(80, 100, 2), *range(91, 100, 2)])

        await consumer.seek_to_beginning(even)
        assert await consumer.position(even) == 0
        await consumer.seek_to_end(even)
        assert await consumer.position(even) == 50


async def test_a_reader_beyond_the_end_is_reset(kafka: Kafka) -> None:
    topic = await kafka.topic()
    partition = TopicPartition(topic, 0)
    async with kafka.producer() as producer:
        await send_all(producer, topic, [b"x"] * 5)

    async with kafka.consumer() as consumer:
        consumer.assign([partition])
        consumer.seek(partition, 1000)
        assert [record.offset for record in await read(consumer, 5)] == [0, 1, 2, 3, 4]


async def test_a_time_has_the_first_offset_at_or_after_it(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.producer() as producer:
        for i in range(50):
            await producer.send_and_wait(topic, b"x", timestamp_ms=BASE + i * SECOND)

    async with kafka.consumer() as consumer:
        assert await offset_at(consumer, topic, BASE - 5 * SECOND) == 0
        assert await offset_at(consumer, topic, BASE + 10 * SECOND) == 10
        assert await offset_at(consumer, topic, BASE + 10 * SECOND + 500) == 11
        assert await offset_at(consumer, topic, BASE + 49 * SECOND) == 49
        assert await offset_at(consumer, topic, BASE + 1000 * SECOND) is None


async def test_a_time_inside_a_batch_has_the_offset_of_its_record(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.producer() as producer:
        await send_batch(producer, topic, [BASE + i * SECOND for i in range(50)])

    async with kafka.consumer() as consumer:
        assert await offset_at(consumer, topic, BASE + 10 * SECOND) == 10
        assert await offset_at(consumer, topic, BASE + 10 * SECOND + 500) == 11
        assert await offset_at(consumer, topic, BASE + 49 * SECOND) == 49
        assert await offset_at(consumer, topic, BASE + 1000 * SECOND) is None


async def test_a_time_is_found_across_batches_out_of_order(kafka: Kafka) -> None:
    """The answer is the first offset of the log at or after the time, though a later record may be nearer to it."""
    topic = await kafka.topic()
    async with kafka.producer() as producer:
        for start in (0, 50, 20, 100):
            await send_batch(producer, topic, [BASE + (start + i) * SECOND for i in range(10)])

    async with kafka.consumer() as consumer:
        assert await offset_at(consumer, topic, BASE + 5 * SECOND) == 5
        assert await offset_at(consumer, topic, BASE + 25 * SECOND) == 10
        assert await offset_at(consumer, topic, BASE + 55 * SECOND) == 15
        assert await offset_at(consumer, topic, BASE + 60 * SECOND) == 30
        assert await offset_at(consumer, topic, BASE + 109 * SECOND) == 39
        assert await offset_at(consumer, topic, BASE + 110 * SECOND) is None


async def test_compaction_keeps_the_last_value_of_each_key_and_every_offset(kafka: Kafka) -> None:
    """When a broker compacts is its own affair; what a reader may rely on holds before and after."""
    topic = await kafka.topic(cleanup_policy="compact")
    async with kafka.producer() as producer:
        for i in range(200):
            await producer.send(topic, b"v%d" % i, key=b"k%d" % (i % 10))
        await producer.send_and_wait(topic, None, key=b"k3")

    async with kafka.consumer(topic) as consumer:
        records = await read_to_end(consumer)
    last = {record.key: record for record in records}
    assert last.pop(b"k3").value is None
    assert {key: record.offset for key, record in last.items()} == {
        b"k%d" % i: 190 + i for i in range(10) if i != 3
    }
    assert all(record.value == b"v%d" % record.offset for record in last.values())
    assert [record.offset for record in records] == sorted({record.offset for record in records})
    assert records[-1].offset == 200


async def offset_at(consumer: AIOKafkaConsumer, topic: str, time_ms: int) -> int | None:
    answer = await consumer.offsets_for_times({(at := TopicPartition(topic, 0)): time_ms})
    return answer[at].offset if answer[at] else None


async def send_batch(producer: AIOKafkaProducer, topic: str, times_ms: list[int]) -> None:
    """One batch that holds a record for each time."""
    batch = producer.create_batch()
    for time_ms in times_ms:
        batch.append(key=None, value=b"x", timestamp=time_ms)
    await (await producer.send_batch(batch, topic, partition=0))
