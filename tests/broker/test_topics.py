"""Topics and their configuration, as an administrator asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.config_requests import Operation
from noetl_stream.broker.settings import BrokerSettings
from tests.broker.client import RawClient


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[RawClient]:
    settings = BrokerSettings(fsync="none", auto_create_topics=False)
    async with EmbeddedBroker(tmp_path, settings=settings) as broker, RawClient(broker.bootstrap) as client:
        yield client


async def _create(
    client: RawClient, name: str, partitions: int = 1, *, replicas: int = 1, **configs: str
) -> ErrorCode:
    wanted = {
        "name": name,
        "num_partitions": partitions,
        "replication_factor": replicas,
        "assignments": [],
        "configs": [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()],
    }
    response = await client.call(Api.CREATE_TOPICS, 4, {"topics": [wanted]})
    code: ErrorCode = response.topics[0].error_code
    return code


async def _alter(client: RawClient, operation: Operation, name: str, value: str | None) -> ErrorCode:
    config = {"name": name, "config_operation": operation, "value": value}
    resource = {"resource_type": 2, "resource_name": "t", "configs": [config]}
    response = await client.call(
        Api.INCREMENTAL_ALTER_CONFIGS, 0, {"resources": [resource], "validate_only": False}
    )
    code: ErrorCode = response.responses[0].error_code
    return code


async def _described(client: RawClient, resource_type: int, name: str) -> dict[str, Any]:
    resource = {"resource_type": resource_type, "resource_name": name, "configuration_keys": None}
    response = await client.call(
        Api.DESCRIBE_CONFIGS, 1, {"resources": [resource], "include_synonyms": False}
    )
    return {config.name: config for config in response.results[0].configs}


@pytest.mark.parametrize("name", ["", ".", "..", "../../etc", "a/b", "a b", "ü", "x" * 250, "a\n"])
async def test_a_name_that_could_leave_its_folder_is_refused(client: RawClient, name: str) -> None:
    assert await _create(client, name) is ErrorCode.invalid_topic_exception


async def test_the_longest_legal_name_fits_the_file_system(client: RawClient) -> None:
    assert await _create(client, "x" * 249) is ErrorCode.none


@pytest.mark.parametrize("partitions", [0, -2, 1001])
async def test_an_impossible_partition_count_is_refused(client: RawClient, partitions: int) -> None:
    assert await _create(client, "t", partitions) is ErrorCode.invalid_partitions


async def test_more_replicas_than_brokers_are_refused(client: RawClient) -> None:
    assert await _create(client, "t", replicas=3) is ErrorCode.invalid_replication_factor


async def test_unknown_and_senseless_settings_are_refused(client: RawClient) -> None:
    assert await _create(client, "t", retention_mz="1") is ErrorCode.invalid_config
    assert await _create(client, "t", retention_ms="long") is ErrorCode.invalid_config
    assert await _create(client, "t", cleanup_policy="shred") is ErrorCode.invalid_config
    assert await _create(client, "t", retention_ms="-1", cleanup_policy="compact,delete") is ErrorCode.none


async def test_one_setting_changes_and_the_others_stay(client: RawClient) -> None:
    await _create(client, "t", retention_ms="5", cleanup_policy="delete")

    assert await _alter(client, Operation.SET, "segment.bytes", "1000") is ErrorCode.none
    assert await _alter(client, Operation.APPEND, "cleanup.policy", "compact") is ErrorCode.none
    configs = await _described(client, 2, "t")
    assert configs["retention.ms"].value == "5"
    assert configs["segment.bytes"].value == "1000"
    assert configs["cleanup.policy"].value == "delete,compact"

    await _alter(client, Operation.SUBTRACT, "cleanup.policy", "delete")
    await _alter(client, Operation.DELETE, "retention.ms", None)
    configs = await _described(client, 2, "t")
    assert configs["cleanup.policy"].value == "compact"
    assert (configs["retention.ms"].value, configs["retention.ms"].config_source) == ("604800000", 5)


async def test_a_refused_change_changes_nothing(client: RawClient) -> None:
    await _create(client, "t", retention_ms="5")

    assert await _alter(client, Operation.SET, "retention.ms", "soon") is ErrorCode.invalid_config

    assert (await _described(client, 2, "t"))["retention.ms"].value == "5"


async def test_the_brokers_own_settings_are_shown_and_kept(client: RawClient) -> None:
    configs = await _described(client, 4, "1")

    assert configs["auto.create.topics.enable"].value == "false"
    assert configs["auto.create.topics.enable"].read_only


async def test_a_topic_is_not_made_by_asking_for_it_where_that_is_off(client: RawClient) -> None:
    response = await client.call(
        Api.METADATA, 4, {"topics": [{"name": "t"}], "allow_auto_topic_creation": True}
    )

    assert response.topics[0].error_code is ErrorCode.unknown_topic_or_partition
