"""What a broker must refuse, by the error that tells a client what was wrong; and that a refusal stores nothing."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    CorruptRecordException,
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidProducerEpoch,
    InvalidReplicationFactorError,
    InvalidSessionTimeoutError,
    InvalidTopicError,
    KafkaError,
    OutOfOrderSequenceNumber,
    for_code,
)

from tests.contract.batches import batch_of
from tests.contract.clients import Kafka, end_offset, fresh
from tests.contract.test_records import produce, produced


@pytest.mark.parametrize(
    ("partitions", "settings", "error"),
    [
        pytest.param(0, {}, InvalidPartitionsError, id="no-partitions"),
        pytest.param(1, {"no.such.setting": "1"}, InvalidConfigurationError, id="unknown-setting"),
        pytest.param(1, {"retention.ms": "soon"}, InvalidConfigurationError, id="setting-without-meaning"),
    ],
)
async def test_a_topic_that_makes_no_sense_is_not_created(
    kafka: Kafka, partitions: int, settings: dict[str, str], error: type[KafkaError]
) -> None:
    topic = fresh("topic")

    with pytest.raises(error):
        await kafka.create(topic, partitions, settings)
    async with kafka.admin() as admin:
        assert topic not in await admin.list_topics()


@pytest.mark.parametrize("name", ["a/b", "x" * 250])
async def test_a_topic_name_outside_the_rules_is_refused(kafka: Kafka, name: str) -> None:
    with pytest.raises(InvalidTopicError):
        await kafka.create(name)


async def test_more_copies_than_brokers_are_refused(kafka: Kafka) -> None:
    with pytest.raises(InvalidReplicationFactorError):
        await kafka.create(fresh("topic"), copies=100)


async def test_a_damaged_batch_is_refused(kafka: Kafka) -> None:
    topic = await kafka.topic()
    whole = batch_of(b"value")
    damaged = whole[:-1] + bytes([whole[-1] ^ 0xFF])

    with pytest.raises(CorruptRecordException):
        await send(kafka, topic, damaged)
    async with kafka.consumer() as consumer:
        assert await end_offset(consumer, topic) == 0


async def test_a_gap_in_a_producers_sequence_is_refused(kafka: Kafka) -> None:
    """Records 2 to 4 of this producer were lost on the way: the broker must not store the fifth."""
    topic = await kafka.topic()
    await send(kafka, topic, batch_of(b"1", producer_id=990_001, epoch=0, sequence=0))

    with pytest.raises(OutOfOrderSequenceNumber):
        await send(kafka, topic, batch_of(b"5", producer_id=990_001, epoch=0, sequence=4))
    async with kafka.consumer() as consumer:
        assert await end_offset(consumer, topic) == 1


async def test_a_batch_of_an_older_epoch_is_refused(kafka: Kafka) -> None:
    topic = await kafka.topic()
    await send(kafka, topic, batch_of(b"new", producer_id=990_002, epoch=3, sequence=0))

    with pytest.raises(InvalidProducerEpoch):
        await send(kafka, topic, batch_of(b"old", producer_id=990_002, epoch=2, sequence=1))


async def test_a_session_shorter_than_the_broker_allows_is_refused(kafka: Kafka) -> None:
    topic = await kafka.topic()

    with pytest.raises(InvalidSessionTimeoutError):
        async with kafka.consumer(topic, group_id=fresh("group"), session_timeout_ms=10) as consumer:
            await consumer.getone()


async def send(kafka: Kafka, topic: str, batch: bytes) -> None:
    """Put one batch on the wire as it is, or raise the broker's error."""
    async with kafka.producer() as producer:
        code, _ = await produced(producer, produce(topic, 0, batch))
    if code:
        raise for_code(code)
