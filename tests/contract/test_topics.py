"""Topics: their partitions, their settings, their end, and what a broker says of those it does not know."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError
from aiokafka.protocol.admin import ApiVersionRequest

from tests.contract.clients import Kafka, end_offset, eventually, fresh, raise_first, send_all

PRODUCE_TO_METADATA = range(4)
OFFSETS_AND_GROUPS = range(8, 17)
TOPICS_AND_RECORDS = range(18, 22)
TRANSACTIONS = (22, 24, 25, 26, 28)
SETTINGS_AND_PARTITIONS = (32, 33, 37)


async def settings_of(kafka: Kafka, topic: str) -> dict[str, str]:
    async with kafka.admin() as admin:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    [(code, _, _, _, entries)] = answer.resources
    raise_first([code])
    return {entry[0]: entry[1] for entry in entries}


async def test_a_broker_names_every_request_that_our_clients_send(kafka: Kafka) -> None:
    async with kafka.producer() as producer:
        node = producer.client.get_random_node()
        answer = await producer.client.send(node, ApiVersionRequest())

    offered = {row[0] for row in answer.api_versions}
    for needed in (
        PRODUCE_TO_METADATA,
        OFFSETS_AND_GROUPS,
        TOPICS_AND_RECORDS,
        TRANSACTIONS,
        SETTINGS_AND_PARTITIONS,
    ):
        assert offered >= set(needed)


async def test_a_topic_has_the_partitions_it_was_created_with(kafka: Kafka) -> None:
    topic = await kafka.topic(8)

    async with kafka.admin() as admin:
        listed, cluster = await admin.list_topics(), await admin.describe_cluster()
    assert topic in listed
    assert await kafka.partitions(topic) == set(range(8))
    assert cluster["controller_id"] in {broker["node_id"] for broker in cluster["brokers"]}


async def test_settings_given_at_creation_are_described(kafka: Kafka) -> None:
    topic = await kafka.topic(2, cleanup_policy="compact", retention_ms="-1")

    described = await settings_of(kafka, topic)

    assert (described["cleanup.policy"], described["retention.ms"]) == ("compact", "-1")


async def test_a_changed_setting_is_described(kafka: Kafka) -> None:
    topic = await kafka.topic()

    await kafka.alter(topic, {"retention.ms": "12345"})

    async def described() -> bool:
        return (await settings_of(kafka, topic))["retention.ms"] == "12345"

    await eventually(described)


async def test_a_topic_cannot_be_created_twice(kafka: Kafka) -> None:
    topic = await kafka.topic()

    with pytest.raises(TopicAlreadyExistsError):
        await kafka.create(topic)


async def test_partitions_can_be_added(kafka: Kafka) -> None:
    topic = await kafka.topic(2)

    async with kafka.admin() as admin:
        answer = await admin.create_partitions({topic: NewPartitions(5)})
    raise_first(row[1] for row in answer.topic_errors)

    async def grown() -> bool:
        return await kafka.partitions(topic) == set(range(5))

    await eventually(grown)


async def test_a_deleted_topic_is_no_longer_listed(kafka: Kafka) -> None:
    topic = await kafka.topic(2)

    await kafka.delete(topic)

    async def gone() -> bool:
        async with kafka.admin() as admin:
            return topic not in await admin.list_topics()

    await eventually(gone)


async def test_a_topic_created_again_starts_empty(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.producer() as producer:
        await send_all(producer, topic, [b"before"] * 5)

    await kafka.delete(topic)
    await kafka.create(topic)

    async with kafka.consumer() as consumer:
        assert await end_offset(consumer, topic) == 0


async def test_a_record_for_a_new_topic_creates_it(kafka: Kafka) -> None:
    topic = fresh("auto")

    async with kafka.producer() as producer:
        sent = await producer.send_and_wait(topic, b"first")

    assert sent.offset == 0
    assert sent.partition in await kafka.partitions(topic)


async def test_deleted_records_move_the_beginning(kafka: Kafka) -> None:
    topic = await kafka.topic()
    partition = TopicPartition(topic, 0)
    async with kafka.producer() as producer:
        await send_all(producer, topic, [b"x"] * 10)

    async with kafka.admin() as admin:
        assert await admin.delete_records({partition: RecordsToDelete(before_offset=4)}) == {partition: 4}

    async with kafka.consumer() as consumer:
        assert await consumer.beginning_offsets([partition]) == {partition: 4}
        assert await end_offset(consumer, topic) == 10


async def test_an_unknown_topic_cannot_be_deleted(kafka: Kafka) -> None:
    with pytest.raises(UnknownTopicOrPartitionError):
        await kafka.delete(fresh("unknown"))


async def test_an_unknown_topic_has_no_settings(kafka: Kafka) -> None:
    with pytest.raises(UnknownTopicOrPartitionError):
        await settings_of(kafka, fresh("unknown"))
