"""Cleaning: what retention and compaction take from a log, and what a reader still finds there.

Records carry times from long ago, an hour apart, and a segment lasts a second: so each batch begins a segment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError, UnknownError
from aiokafka.structs import ConsumerRecord

from tests.contract.clients import Kafka, end_offset, eventually, fresh, read_to_end

LONG_AGO = 1_600_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
EACH_BATCH_A_SEGMENT = {"segment.ms": "1000"}
COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", **EACH_BATCH_A_SEGMENT}

Change = tuple[bytes, bytes | None]


async def write(
    producer: AIOKafkaProducer,
    topic: str,
    number: int,
    changes: Sequence[Change],
    *,
    since: int = LONG_AGO,
    apart: int = HOUR,
) -> None:
    """Batch `number` of a topic: all of `changes` together, at one time."""
    at, headers = since + number * apart, [("of", b"%d" % number)]
    sent = [
        await producer.send(topic, value, key=key, timestamp_ms=at, headers=headers) for key, value in changes
    ]
    await asyncio.gather(*sent)


async def records_of(kafka: Kafka, topic: str, isolation: str = "read_committed") -> list[ConsumerRecord]:
    """All that a new reader is shown."""
    async with kafka.consumer(topic, isolation_level=isolation) as consumer:
        return await read_to_end(consumer)


async def first_offset(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    first: int = (await consumer.beginning_offsets([partition]))[partition]
    return first


async def compacted(
    kafka: Kafka, topic: str, offsets: list[int], isolation: str = "read_committed"
) -> list[ConsumerRecord]:
    """The records once only those at `offsets` are left."""
    records: list[ConsumerRecord] = []

    async def only_those() -> bool:
        nonlocal records
        records = await records_of(kafka, topic, isolation)
        return [record.offset for record in records] == offsets

    await eventually(only_those)
    return records


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_compaction_keeps_the_newest_value_of_each_key_as_it_was_written(
    kafka: Kafka, codec: str | None
) -> None:
    topic = fresh("compacted")
    await kafka.create(topic, settings=COMPACTED)
    large = b"1" * 500
    async with kafka.producer(compression_type=codec, linger_ms=50) as producer:
        await write(producer, topic, 0, [(b"a", large), (b"b", large), (b"c", large)])
        await write(producer, topic, 1, [(b"a", b"2" + large), (b"c", None)])
        await write(producer, topic, 2, [(b"last", b"is never cleaned")])

    b, a, c, _ = await compacted(kafka, topic, [1, 3, 4, 5])

    assert [(record.key, record.value) for record in (b, a, c)] == [
        (b"b", large),
        (b"a", b"2" + large),
        (b"c", None),
    ]
    assert [(record.timestamp, record.headers) for record in (b, a)] == [
        (LONG_AGO, (("of", b"0"),)),
        (LONG_AGO + HOUR, (("of", b"1"),)),
    ]


async def test_what_an_aborted_transaction_wrote_is_compacted_away(kafka: Kafka) -> None:
    topic = fresh("compacted")
    await kafka.create(topic, settings=COMPACTED)
    async with kafka.producer(transactional_id=fresh("transaction")) as producer:
        for number, value in enumerate((b"1", b"lost", b"2", b"3")):
            await producer.begin_transaction()
            # From now on, as the markers are: each transaction is one segment with its marker.
            changes = [(b"a", value), (b"%d" % number, value)]
            await write(producer, topic, number, changes, since=time.time_ns() // 1_000_000, apart=MINUTE)
            if value == b"lost":
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()

    records = await compacted(kafka, topic, [1, 6, 7, 9, 10], isolation="read_uncommitted")

    assert [record.value for record in records] == [b"1", b"2", b"2", b"3", b"3"]


async def test_a_compacted_topic_takes_no_record_without_a_key(kafka: Kafka) -> None:
    topic = fresh("compacted")
    await kafka.create(topic, settings=COMPACTED)

    async with kafka.producer() as producer:
        with pytest.raises(UnknownError):  # aiokafka has no name for INVALID_RECORD
            await producer.send_and_wait(topic, b"without a key")
        await producer.send_and_wait(topic, b"with one", key=b"a")

    assert [record.value for record in await records_of(kafka, topic)] == [b"with one"]


async def test_records_go_when_their_time_is_over(kafka: Kafka) -> None:
    """All of them: the segment that grows is closed for it."""
    topic = fresh("retained")
    partition = TopicPartition(topic, 0)
    await kafka.create(topic, settings={"retention.ms": "60000", **EACH_BATCH_A_SEGMENT})
    async with kafka.producer() as producer:
        for number in range(3):
            await write(producer, topic, number, [(b"a", b"1")])

    async with kafka.consumer(auto_offset_reset="none") as consumer:

        async def all_gone() -> bool:
            return await first_offset(consumer, partition) == 3

        await eventually(all_gone)
        assert await end_offset(consumer, topic) == 3
        consumer.assign([partition])
        consumer.seek(partition, 1)
        with pytest.raises(OffsetOutOfRangeError):
            await consumer.getone()


async def test_a_log_loses_its_oldest_segments_when_it_is_too_large(kafka: Kafka) -> None:
    topic = fresh("retained")
    partition = TopicPartition(topic, 0)
    size = 100_000
    await kafka.create(
        topic, settings={"retention.ms": "-1", "retention.bytes": str(5 * size), **EACH_BATCH_A_SEGMENT}
    )
    async with kafka.producer() as producer:
        for number in range(12):
            await write(producer, topic, number, [(b"a", b"x" * size)])

    async with kafka.consumer() as consumer:

        async def small_enough() -> bool:  # a first pass may come while the last are written
            return await first_offset(consumer, partition) >= 7

        await eventually(small_enough)
    assert [record.offset for record in await records_of(kafka, topic)] == [7, 8, 9, 10, 11]
