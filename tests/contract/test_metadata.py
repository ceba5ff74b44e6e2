"""Finding one's way: what a broker says of topics by name and id, of itself, of its coordinators and of its logs."""

from __future__ import annotations

from itertools import chain
from typing import Any
from uuid import uuid4

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import ANNOUNCED, Api
from tests.broker.client import RawClient
from tests.contract.batches import batch_of
from tests.contract.clients import Kafka, eventually, fresh
from tests.contract.wire import metadata, produced, topic_id

GROUP, TRANSACTION = 0, 1
EVERYTHING_A_TOPIC_CAN = 0b1101_1111_1000
"""Kafka's bit set: read, write, create, delete, alter, describe, and the configuration's describe and alter."""


async def test_no_request_is_offered_in_a_version_that_apache_kafka_lacks(kafka: Kafka) -> None:
    """A client's code for such a version would have been tested against nothing."""
    async with kafka.wire() as client:
        answer = await client.call(
            Api.API_VERSIONS, 3, {"client_software_name": "t", "client_software_version": "1"}
        )

    offered = {key.api_key: range(key.min_version, key.max_version + 1) for key in answer.api_keys}
    beyond = {
        api.name: versions
        for api, versions in ANNOUNCED.items()
        if not {versions.lowest, versions.highest} <= set(offered.get(api, ()))
    }
    assert beyond == {}


async def test_a_request_for_versions_from_the_future_is_answered_in_the_first(kafka: Kafka) -> None:
    """So that a newer client can step down to what this broker knows."""
    async with kafka.wire() as client:
        client.writer.write((27).to_bytes(4, "big") + bytes.fromhex("0012 7fff 00000007 0004") + b"test")
        client.writer.write(bytes(27 - 14))
        answer = await client.receive()

    assert answer[:6] == bytes.fromhex("00000007 0023")


async def test_a_topic_is_found_by_its_name_and_by_its_id(kafka: Kafka) -> None:
    topic = await kafka.topic(3)
    async with kafka.wire() as client:
        [by_name] = (await metadata(client, topic)).topics
        [by_id] = (await metadata(client, by_name.topic_id)).topics

    assert by_name == by_id
    assert (by_id.name, by_id.is_internal, by_id.topic_authorized_operations) == (
        topic,
        False,
        EVERYTHING_A_TOPIC_CAN,
    )
    assert [
        (place.partition_index, place.leader_epoch, place.error_code)
        for place in sorted(by_id.partitions, key=lambda place: place.partition_index)
    ] == [(index, 0, ErrorCode.none) for index in range(3)]
    assert all(place.replica_nodes == place.isr_nodes == (place.leader_id,) for place in by_id.partitions)


async def test_what_is_not_there_is_said_to_be_unknown(kafka: Kafka) -> None:
    name, its_id = fresh("unknown"), uuid4()
    async with kafka.wire() as client:
        [by_name] = (await metadata(client, name)).topics
        [by_id] = (await metadata(client, its_id)).topics
        [illegal] = (await metadata(client, "a/b")).topics

    assert (by_name.name, by_name.error_code) == (name, ErrorCode.unknown_topic_or_partition)
    assert (by_id.topic_id, by_id.error_code) == (its_id, ErrorCode.unknown_topic_id)
    assert illegal.error_code is ErrorCode.invalid_topic_exception
    assert by_name.partitions == by_id.partitions == illegal.partitions == ()


async def test_a_topic_is_created_for_who_asks_and_allows_it(kafka: Kafka) -> None:
    topic = fresh("auto")
    async with kafka.wire() as client:
        await metadata(client, topic, create=True)

        async def created() -> bool:
            [answer] = (await metadata(client, topic)).topics
            return answer.error_code is ErrorCode.none

        await eventually(created)


async def test_a_cluster_names_itself_and_its_brokers(kafka: Kafka) -> None:
    async with kafka.wire() as client:
        cluster = await client.call(
            Api.DESCRIBE_CLUSTER,
            1,
            {"include_cluster_authorized_operations": False, "endpoint_type": 1},
        )
        known = await metadata(client)

    assert cluster.error_code is ErrorCode.none
    assert cluster.cluster_id == known.cluster_id
    assert [(broker.broker_id, broker.host, broker.port) for broker in cluster.brokers] == [
        (broker.node_id, broker.host, broker.port) for broker in known.brokers
    ]


async def test_several_coordinators_are_found_at_once(kafka: Kafka) -> None:
    async with kafka.wire() as client:

        async def found() -> bool:  # Apache Kafka first creates the topics in which it keeps groups
            answers = [await coordinators(client, kind, "one", "two") for kind in (GROUP, TRANSACTION)]
            return all(each.error_code is ErrorCode.none for answer in answers for each in answer)

        await eventually(found)
        answer = await coordinators(client, GROUP, "one", "two")
        [broker] = (await metadata(client)).brokers

    assert [(each.key, each.node_id, each.host, each.port) for each in answer] == [
        (key, broker.node_id, broker.host, broker.port) for key in ("one", "two")
    ]


async def test_a_coordinator_of_an_unknown_kind_is_not_found(kafka: Kafka) -> None:
    async with kafka.wire() as client:
        [answer] = await coordinators(client, 9, "key")

    assert answer.error_code is ErrorCode.invalid_request


async def coordinators(client: RawClient, kind: int, *keys: str) -> Any:
    return (
        await client.call(Api.FIND_COORDINATOR, 4, {"key_type": kind, "coordinator_keys": keys})
    ).coordinators


async def test_topics_are_described_by_pages_of_partitions(kafka: Kafka) -> None:
    one, two = sorted([await kafka.topic(3), await kafka.topic(2)])
    pages: list[list[tuple[str, int]]] = []
    cursor = None
    async with kafka.wire() as client:
        counts = {name: len((await metadata(client, name)).topics[0].partitions) for name in (one, two)}
        while len(pages) < 5 and (cursor or not pages):
            page = await page_of(client, [two, one], 2, cursor)
            pages.append([(t.name, p.partition_index) for t in page.topics for p in t.partitions])
            cursor = page.next_cursor and vars_of(page.next_cursor)

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [*chain(*pages)] == [(name, index) for name in (one, two) for index in range(counts[name])]


async def test_a_described_topic_that_is_not_there_is_unknown(kafka: Kafka) -> None:
    topic, unknown = await kafka.topic(), fresh("unknown")
    async with kafka.wire() as client:
        page = await page_of(client, [unknown, topic], 100, None)
        expected = await topic_id(client, topic)

    assert {(found.name, found.error_code, found.topic_id) for found in page.topics} == {
        (topic, ErrorCode.none, expected),
        (unknown, ErrorCode.unknown_topic_or_partition, None),
    }


async def page_of(client: RawClient, topics: list[str], limit: int, cursor: Any) -> Any:
    wanted = [{"name": name} for name in topics]
    fields = {"topics": wanted, "response_partition_limit": limit, "cursor": cursor}
    return await client.call(Api.DESCRIBE_TOPIC_PARTITIONS, 0, fields)


def vars_of(cursor: Any) -> dict[str, Any]:
    return {"topic_name": cursor.topic_name, "partition_index": cursor.partition_index}


@pytest.mark.parametrize(
    ("believed", "asked", "code", "epoch", "end"),
    [
        pytest.param(0, 0, ErrorCode.none, 0, 3, id="the-present-term"),
        pytest.param(-1, 0, ErrorCode.none, 0, 3, id="without-a-belief"),
        pytest.param(0, 7, ErrorCode.none, -1, -1, id="a-term-to-come"),
        pytest.param(7, 0, ErrorCode.unknown_leader_epoch, -1, -1, id="a-belief-in-a-term-to-come"),
    ],
)
async def test_a_leaders_term_ends_where_its_log_ends(
    kafka: Kafka, believed: int, asked: int, code: ErrorCode, epoch: int, end: int
) -> None:
    topic = await kafka.topic()
    wanted = {"partition": 0, "current_leader_epoch": believed, "leader_epoch": asked}
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(b"1", b"2", b"3"))
        fields = {"topics": [{"topic": topic, "partitions": [wanted]}], "replica_id": -1}
        answer = await client.call(Api.OFFSET_FOR_LEADER_EPOCH, 4, fields)

    [[found]] = [topic.partitions for topic in answer.topics]
    assert (found.error_code, found.leader_epoch, found.end_offset) == (code, epoch, end)


async def test_a_logs_size_is_that_of_its_batches(kafka: Kafka) -> None:
    topic, batches = await kafka.topic(2), [batch_of(b"1"), batch_of(b"2" * 1000)]
    async with kafka.wire() as client:
        for batch in batches:
            await produced(client, topic, batch)
        fields = {"topics": [{"topic": topic, "partitions": (0, 1)}]}
        [folder] = (await client.call(Api.DESCRIBE_LOG_DIRS, 4, fields)).results

    [described] = folder.topics
    sizes = {partition.partition_index: partition.partition_size for partition in described.partitions}
    assert sizes == {0: sum(map(len, batches)), 1: 0}
    assert 0 < folder.usable_bytes <= folder.total_bytes
