"""Administration: topics created by assignment or only on trial, their settings changed one by one, records deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.config_requests import Operation
from noetl_stream.broker.topic_config import SETTINGS
from tests.broker.client import RawClient
from tests.contract.batches import batch_of
from tests.contract.clients import Kafka, eventually, fresh
from tests.contract.wire import EARLIEST, fetched, listed, metadata, produced, topic_id

OUR_OWN_DEFAULTS = {"segment.bytes"}  # smaller segments suit a small disk
TOPIC, DEFAULT = 2, 5
ON_TOPIC = 1
PATIENCE = {"timeout": timedelta(seconds=10)}


async def created(client: RawClient, *topics: dict[str, Any], validate_only: bool = False) -> list[Any]:
    given = {"num_partitions": -1, "replication_factor": -1, "assignments": [], "configs": []}
    fields = {"topics": [{**given, **topic} for topic in topics], "validate_only": validate_only}
    return list((await client.call(Api.CREATE_TOPICS, 7, fields)).topics)


async def this_broker(client: RawClient) -> int:
    [broker] = (await metadata(client)).brokers
    node_id: int = broker.node_id
    return node_id


async def test_a_created_topic_is_answered_with_all_that_it_is(kafka: Kafka) -> None:
    name = fresh("topic")
    configs = [{"name": "retention.ms", "value": "12345"}]
    async with kafka.wire() as client:
        [answer] = await created(client, {"name": name, "num_partitions": 3, "configs": configs})
        expected: UUID = answer.topic_id

        async def known() -> bool:
            return await topic_id(client, name) == expected

        await eventually(known)

    assert (answer.error_code, answer.num_partitions, answer.replication_factor) == (ErrorCode.none, 3, 1)
    settings = {config.name: (config.value, config.config_source) for config in answer.configs}
    assert settings["retention.ms"] == ("12345", ON_TOPIC)
    assert settings["cleanup.policy"] == ("delete", DEFAULT)


async def test_a_trial_creates_nothing(kafka: Kafka) -> None:
    name = fresh("trial")
    async with kafka.wire() as client:
        [good] = await created(client, {"name": name, "num_partitions": 2}, validate_only=True)
        [bad] = await created(client, {"name": name, "num_partitions": 0}, validate_only=True)
        [unknown] = (await metadata(client, name)).topics

    assert (good.error_code, good.num_partitions) == (ErrorCode.none, 2)
    assert bad.error_code is ErrorCode.invalid_partitions
    assert unknown.error_code is ErrorCode.unknown_topic_or_partition


async def test_a_topic_named_twice_in_one_request_is_not_created(kafka: Kafka) -> None:
    name, other = fresh("twice"), fresh("once")
    async with kafka.wire() as client:
        answers = await created(client, {"name": name}, {"name": name}, {"name": other})

    codes = {(answer.name, answer.error_code) for answer in answers}
    assert codes == {(name, ErrorCode.invalid_request), (other, ErrorCode.none)}


async def test_a_topic_can_be_created_by_assignment(kafka: Kafka) -> None:
    name = fresh("assigned")
    async with kafka.wire() as client:
        here = await this_broker(client)
        [answer] = await created(client, {"name": name, "assignments": assigned([[here], [here]])})

    assert (answer.error_code, answer.num_partitions) == (ErrorCode.none, 2)


@pytest.mark.parametrize(
    ("replicas", "indexes", "count", "code"),
    [
        pytest.param([[77]], [0], -1, ErrorCode.invalid_replica_assignment, id="elsewhere"),
        pytest.param([[]], [0], -1, ErrorCode.invalid_replica_assignment, id="nowhere"),
        pytest.param([["here", "here"]], [0], -1, ErrorCode.invalid_replica_assignment, id="twice-here"),
        pytest.param([["here"], ["here"]], [0, 2], -1, ErrorCode.invalid_replica_assignment, id="with-a-gap"),
        pytest.param([["here"], ["here"]], [0, 0], -1, ErrorCode.invalid_replica_assignment, id="twice"),
        pytest.param([["here"]], [0], 1, ErrorCode.invalid_request, id="with-a-count-beside-it"),
    ],
)
async def test_an_assignment_that_makes_no_sense_is_refused(
    kafka: Kafka, replicas: list[list[Any]], indexes: list[int], count: int, code: ErrorCode
) -> None:
    async with kafka.wire() as client:
        here = await this_broker(client)
        brokers = [[here if broker == "here" else broker for broker in one] for one in replicas]
        topic = {"name": fresh("topic"), "num_partitions": count, "assignments": assigned(brokers, indexes)}
        [answer] = await created(client, topic)

    assert answer.error_code is code


def assigned(brokers: list[list[int]], indexes: list[int] | None = None) -> list[dict[str, Any]]:
    places = indexes if indexes is not None else range(len(brokers))
    return [
        {"partition_index": index, "broker_ids": tuple(one)}
        for index, one in zip(places, brokers, strict=True)
    ]


@pytest.mark.parametrize(
    ("count", "assignments", "code"),
    [
        pytest.param(2, None, ErrorCode.invalid_partitions, id="as-many-as-before"),
        pytest.param(1, None, ErrorCode.invalid_partitions, id="fewer"),
        pytest.param(4, [["here"]], ErrorCode.invalid_replica_assignment, id="too-few-assignments"),
        pytest.param(3, [[77]], ErrorCode.invalid_replica_assignment, id="assigned-elsewhere"),
        pytest.param(3, [["here"]], ErrorCode.none, id="assigned-here"),
        pytest.param(4, None, ErrorCode.none, id="two-more"),
    ],
)
async def test_partitions_are_only_ever_added(
    kafka: Kafka, count: int, assignments: list[list[Any]] | None, code: ErrorCode
) -> None:
    topic = await kafka.topic(2)
    async with kafka.wire() as client:
        here = await this_broker(client)
        given = None
        if assignments is not None:
            given = [{"broker_ids": tuple(here if b == "here" else b for b in one)} for one in assignments]
        fields = {
            "topics": [{"name": topic, "count": count, "assignments": given}],
            "validate_only": False,
            **PATIENCE,
        }
        [answer] = (await client.call(Api.CREATE_PARTITIONS, 3, fields)).results

    assert answer.error_code is code

    async def has_as_many_as_it_should() -> bool:
        return len(await kafka.partitions(topic)) == (count if code is ErrorCode.none else 2)

    await eventually(has_as_many_as_it_should)


async def test_topics_can_be_deleted_by_their_ids(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        its_id = await topic_id(client, topic)
        first, again = [
            (
                await client.call(
                    Api.DELETE_TOPICS, 6, {"topics": [{"name": None, "topic_id": its_id}], **PATIENCE}
                )
            ).responses[0]
            for _ in range(2)
        ]

    assert (first.error_code, first.name) == (ErrorCode.none, topic)
    assert (again.error_code, again.topic_id) == (ErrorCode.unknown_topic_id, its_id)


# Settings.


async def changed(client: RawClient, topic: str, *changes: tuple[Operation, str, str | None]) -> ErrorCode:
    configs = [{"name": name, "config_operation": int(what), "value": value} for what, name, value in changes]
    resource = {"resource_type": TOPIC, "resource_name": topic, "configs": configs}
    fields = {"resources": [resource], "validate_only": False}
    [answer] = (await client.call(Api.INCREMENTAL_ALTER_CONFIGS, 1, fields)).responses
    code: ErrorCode = answer.error_code
    return code


async def settings(client: RawClient, topic: str, *names: str) -> dict[str, Any]:
    resource = {"resource_type": TOPIC, "resource_name": topic, "configuration_keys": names or None}
    fields = {"resources": [resource], "include_synonyms": True, "include_documentation": False}
    [answer] = (await client.call(Api.DESCRIBE_CONFIGS, 4, fields)).results
    assert answer.error_code is ErrorCode.none
    return {config.name: config for config in answer.configs}


async def has(client: RawClient, topic: str, **expected: tuple[str, int]) -> None:
    """Wait until the settings have these values and sources; `retention_ms` is `retention.ms`."""

    async def so() -> bool:
        found = await settings(client, topic)
        return all(
            (found[name.replace("_", ".")].value, found[name.replace("_", ".")].config_source) == wanted
            for name, wanted in expected.items()
        )

    await eventually(so)


async def test_settings_change_one_by_one(kafka: Kafka) -> None:
    topic = await kafka.topic(retention_ms="1000", segment_ms="2000")
    async with kafka.wire() as client:
        assert await changed(client, topic, (Operation.SET, "retention.ms", "5000")) is ErrorCode.none
        await has(client, topic, retention_ms=("5000", ON_TOPIC), segment_ms=("2000", ON_TOPIC))

        assert await changed(client, topic, (Operation.DELETE, "segment.ms", None)) is ErrorCode.none
        await has(client, topic, retention_ms=("5000", ON_TOPIC), segment_ms=("604800000", DEFAULT))

        assert await changed(client, topic, (Operation.APPEND, "cleanup.policy", "compact")) is ErrorCode.none
        await has(client, topic, cleanup_policy=("delete,compact", ON_TOPIC))

        assert (
            await changed(client, topic, (Operation.SUBTRACT, "cleanup.policy", "delete")) is ErrorCode.none
        )
        await has(client, topic, cleanup_policy=("compact", ON_TOPIC))


async def test_settings_replaced_together_forget_the_others(kafka: Kafka) -> None:
    topic = await kafka.topic(retention_ms="1000", segment_ms="2000")
    async with kafka.wire() as client:
        configs = [{"name": "retention.bytes", "value": "9"}]
        resource = {"resource_type": TOPIC, "resource_name": topic, "configs": configs}
        await client.call(Api.ALTER_CONFIGS, 2, {"resources": [resource], "validate_only": False})
        await has(
            client,
            topic,
            retention_bytes=("9", ON_TOPIC),
            retention_ms=("604800000", DEFAULT),
            segment_ms=("604800000", DEFAULT),
        )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param((Operation.SET, "retention.ms", "soon"), ErrorCode.invalid_config, id="no-number"),
        pytest.param((Operation.SET, "no.such.setting", "1"), ErrorCode.invalid_config, id="unknown"),
        pytest.param((Operation.APPEND, "retention.ms", "1"), ErrorCode.invalid_config, id="no-list"),
        pytest.param(
            (Operation.SET, "message.timestamp.type", "Never"), ErrorCode.invalid_config, id="no-choice"
        ),
        pytest.param(
            (Operation.SET, "min.cleanable.dirty.ratio", "2"), ErrorCode.invalid_config, id="no-ratio"
        ),
        pytest.param(
            (Operation.SET, "max.message.bytes", str(1 << 40)), ErrorCode.invalid_config, id="too-large"
        ),
        pytest.param(
            (Operation.SET, "remote.storage.enable", "true"), ErrorCode.invalid_config, id="no-remote"
        ),
    ],
)
async def test_a_change_that_makes_no_sense_changes_nothing(
    kafka: Kafka, change: tuple[Operation, str, str], code: ErrorCode
) -> None:
    topic = await kafka.topic(retention_ms="1000")
    async with kafka.wire() as client:
        assert await changed(client, topic, (Operation.SET, "segment.ms", "5"), change) is code
        await has(client, topic, retention_ms=("1000", ON_TOPIC), segment_ms=("604800000", DEFAULT))


async def test_a_setting_changed_twice_in_one_request_is_refused(kafka: Kafka) -> None:
    topic = await kafka.topic()
    twice = [(Operation.SET, "retention.ms", "1"), (Operation.SET, "retention.ms", "2")]
    async with kafka.wire() as client:
        assert await changed(client, topic, *twice) is ErrorCode.invalid_request


async def test_only_the_settings_asked_for_are_described(kafka: Kafka) -> None:
    topic = await kafka.topic(retention_ms="1000", max_message_bytes="5000")
    async with kafka.wire() as client:
        found = await settings(client, topic, "retention.ms", "max.message.bytes")

    limit = found["max.message.bytes"]
    assert set(found) == {"retention.ms", "max.message.bytes"}
    assert [(each.name, each.value, each.source) for each in limit.synonyms] == [
        ("max.message.bytes", "5000", ON_TOPIC),
        ("message.max.bytes", "1048588", DEFAULT),
    ]
    assert (limit.read_only, limit.is_sensitive) == (False, False)


async def test_every_setting_has_the_type_and_the_default_that_kafka_gives_it(kafka: Kafka) -> None:
    async with kafka.wire() as client:
        found = await settings(client, await kafka.topic())

    assert {name: found[name].config_type for name in SETTINGS} == {
        name: setting.type for name, setting in SETTINGS.items()
    }
    assert {name: found[name].value for name in SETTINGS.keys() - OUR_OWN_DEFAULTS} == {
        name: setting.default for name, setting in SETTINGS.items() if name not in OUR_OWN_DEFAULTS
    }


# Deleting records.


async def deleted(client: RawClient, topic: str, offset: int) -> Any:
    partitions = [{"partition_index": 0, "offset": offset}]
    fields = {"topics": [{"name": topic, "partitions": partitions}], **PATIENCE}
    [answer] = (await client.call(Api.DELETE_RECORDS, 2, fields)).topics
    return answer.partitions[0]


async def test_deleted_records_are_out_of_reach(kafka: Kafka) -> None:
    """Also those in the middle of a batch whose later records stay."""
    topic = await kafka.topic()
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(*[b"v"] * 10))
        assert (await deleted(client, topic, 4)).low_watermark == 4
        assert (await deleted(client, topic, 2)).low_watermark == 4
        assert (await listed(client, topic, EARLIEST)).offset == 4
        assert (await fetched(client, topic, 3)).error_code is ErrorCode.offset_out_of_range
        assert (await fetched(client, topic, 4)).log_start_offset == 4


async def test_all_records_can_be_deleted(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(*[b"v"] * 10))
        assert (await deleted(client, topic, -1)).low_watermark == 10
        assert (await produced(client, topic, batch_of(b"next"))).base_offset == 10


async def test_records_that_are_not_there_yet_cannot_be_deleted(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(b"v"))
        assert (await deleted(client, topic, 2)).error_code is ErrorCode.offset_out_of_range
        assert (await deleted(client, fresh("unknown"), 0)).error_code is ErrorCode.unknown_topic_or_partition


async def test_records_of_a_compacted_topic_cannot_be_deleted(kafka: Kafka) -> None:
    """They go by their keys; deleting up to an offset would lose the newest value of some."""
    topic = await kafka.topic(cleanup_policy="compact")
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(b"v"))
        assert (await deleted(client, topic, 1)).error_code is ErrorCode.policy_violation
