"""Times: whose clock a record carries, which times are taken, and which offset a time or one of its stand-ins has."""

from __future__ import annotations

import time

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.batches import AN_HOUR_AGO, batch_of, records_in
from tests.contract.clients import LIMIT, Kafka, fresh, read
from tests.contract.wire import (
    EARLIEST,
    EARLIEST_LOCAL,
    LARGEST_TIMESTAMP,
    LATEST,
    LATEST_TIERED,
    READ_COMMITTED,
    fetched,
    listed,
    produced,
)

BASE = AN_HOUR_AGO
HOUR = 3_600_000


def now() -> int:
    return int(time.time() * 1000)


async def test_a_topic_may_give_records_the_brokers_time(kafka: Kafka) -> None:
    topic = await kafka.topic(message_timestamp_type="LogAppendTime")
    before = now()
    async with kafka.producer() as producer:
        sent = await producer.send_and_wait(topic, b"v", timestamp_ms=BASE)

    async with kafka.consumer(topic) as consumer:
        [record] = await read(consumer, 1)
    assert (sent.timestamp_type, record.timestamp_type) == (1, 1)
    assert before <= record.timestamp == sent.timestamp <= now()


@pytest.mark.parametrize("codec", ["none", "lz4"])
async def test_the_brokers_time_holds_for_a_whole_batch(kafka: Kafka, codec: str) -> None:
    topic = await kafka.topic(message_timestamp_type="LogAppendTime")
    async with kafka.wire() as client:
        batch = batch_of(b"1", b"2", times=[BASE, BASE + HOUR], codec=codec)
        at = int((await produced(client, topic, batch)).log_append_time.timestamp() * 1000)
        records = records_in((await fetched(client, topic, 0)).records)
        found = [await listed(client, topic, when) for when in (BASE, at, at + 1)]

    assert {(record.timestamp, record.timestamp_type) for record in records} == {(at, 1)}
    assert [(answer.timestamp, answer.offset) for answer in found] == [(at, 0), (at, 0), (-1, -1)]


async def test_a_producers_own_time_is_told_as_none_of_the_brokers(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        assert (await produced(client, topic, batch_of(b"v"))).log_append_time is None


async def test_a_time_too_far_ahead_is_refused(kafka: Kafka) -> None:
    """An hour by default: one record from next year would keep its whole segment from ever growing old."""
    topic = await kafka.topic()
    async with kafka.wire() as client:
        ahead = batch_of(b"1", b"2", times=[now(), now() + 2 * HOUR])
        assert (await produced(client, topic, ahead)).error_code is ErrorCode.invalid_timestamp
        near = batch_of(b"v", times=[now() + HOUR // 2])
        assert (await produced(client, topic, near)).base_offset == 0


@pytest.mark.parametrize("codec", ["none", "gzip"])
async def test_a_time_too_long_ago_is_refused_where_the_topic_says_so(kafka: Kafka, codec: str) -> None:
    topic = await kafka.topic(message_timestamp_before_max_ms=str(HOUR))
    async with kafka.wire() as client:
        behind = batch_of(b"1", b"2", times=[now(), now() - 2 * HOUR], codec=codec)
        assert (await produced(client, topic, behind)).error_code is ErrorCode.invalid_timestamp
        recent = batch_of(b"1", b"2", times=[now(), now() - HOUR // 2], codec=codec)
        assert (await produced(client, topic, recent)).base_offset == 0


async def test_the_brokers_time_is_bound_by_nothing(kafka: Kafka) -> None:
    topic = await kafka.topic(
        message_timestamp_type="LogAppendTime", message_timestamp_before_max_ms=str(HOUR)
    )
    async with kafka.wire() as client:
        assert (
            await produced(client, topic, batch_of(b"v", times=[BASE - HOUR]))
        ).error_code is ErrorCode.none
        assert (await produced(client, topic, batch_of(b"v", times=[now() + 2 * HOUR]))).base_offset == 1


async def test_a_time_between_two_batches_has_the_later_ones_first_offset(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(b"1", b"2", times=[BASE, BASE + 10]))
        await produced(client, topic, batch_of(b"3", b"4", times=[BASE + 100, BASE + 110], codec="zstd"))
        asked = (0, BASE, BASE + 1, BASE + 10, BASE + 11, BASE + 100, BASE + 101, BASE + 111)
        found = [await listed(client, topic, when) for when in asked]

    assert [(answer.timestamp - BASE, answer.offset) for answer in found[:-1]] == [
        (0, 0), (0, 0), (10, 1), (10, 1), (100, 2), (100, 2), (110, 3),
    ]  # fmt: skip
    assert (found[-1].timestamp, found[-1].offset, found[-1].error_code) == (-1, -1, ErrorCode.none)


async def test_places_in_a_log_have_words_of_their_own(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        empty = [await listed(client, topic, place) for place in (LATEST, EARLIEST, LARGEST_TIMESTAMP)]
        assert [answer.offset for answer in empty] == [0, 0, -1]

        await produced(client, topic, batch_of(b"1", b"2", times=[BASE + 5, BASE + 9]))
        await produced(client, topic, batch_of(b"3", b"4", times=[BASE + 9, BASE + 1]))
        words = (LATEST, EARLIEST, LARGEST_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED)
        found = [await listed(client, topic, place) for place in words]

    assert [(answer.timestamp, answer.offset) for answer in found] == [
        (-1, 4), (-1, 0), (BASE + 9, 1), (-1, 0), (-1, -1),
    ]  # fmt: skip


async def test_the_end_is_an_earlier_one_to_who_reads_committed_records(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client, kafka.producer(transactional_id=fresh("txn")) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open", timestamp_ms=BASE)
        assert (await listed(client, topic, LATEST)).offset == 1
        assert (await listed(client, topic, LATEST, isolation=READ_COMMITTED)).offset == 0
        assert (await listed(client, topic, BASE, isolation=READ_COMMITTED)).offset == -1
        await producer.commit_transaction()
        await fetched(
            client, topic, 0, isolation=READ_COMMITTED, max_wait=LIMIT
        )  # waits for the end's marker
        assert (await listed(client, topic, BASE, isolation=READ_COMMITTED)).offset == 0


async def test_a_partition_that_does_not_exist_has_no_offsets(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        answer = await listed(client, topic, LATEST, partition=3)

    assert answer.error_code is ErrorCode.unknown_topic_or_partition
