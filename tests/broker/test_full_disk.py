"""A disk that takes no byte more: what it held can be read, what is new is refused, and it goes on once there is room."""

from __future__ import annotations

import datetime
import resource
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.launch import BrokerHandle, start_broker
from noetl_stream.broker.upkeep import check
from tests.broker.client import RawClient
from tests.commitlog.samples import batch, values

pytestmark = pytest.mark.slow

_SECOND = datetime.timedelta(seconds=1)


_NO_PROCESS_BUT_THIS = 0


def _fill_disk(pid: int) -> None:
    """No file of this process, nor of those it starts, may grow: not logs, indexes, journal, nor anything new."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))


def _free_disk(pid: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


def _start_on_a_full_disk(data: Path) -> BrokerHandle:
    _fill_disk(_NO_PROCESS_BUT_THIS)
    try:
        return start_broker(data)
    finally:
        _free_disk(_NO_PROCESS_BUT_THIS)


async def _create(broker: BrokerHandle, name: str) -> ErrorCode:
    topic = {
        "name": name,
        "num_partitions": 1,
        "replication_factor": 1,
        "assignments": [],
        # The samples' records are years old.
        "configs": [
            {"name": "segment.bytes", "value": "500"},
            {"name": "retention.ms", "value": "-1"},
        ],
    }
    async with RawClient(broker.bootstrap) as client:
        response = await client.call(Api.CREATE_TOPICS, 4, {"topics": [topic]})
    code: ErrorCode = response.topics[0].error_code
    return code


async def _produce(broker: BrokerHandle, value: bytes) -> ErrorCode:
    partition = {"index": 0, "records": batch(value)}
    topics = [{"name": "t", "partition_data": [partition]}]
    fields = {"transactional_id": None, "acks": -1, "timeout": _SECOND, "topic_data": topics}
    async with RawClient(broker.bootstrap) as client:
        response = await client.call(Api.PRODUCE, 8, fields)
    code: ErrorCode = response.responses[0].partition_responses[0].error_code
    return code


async def _fetch(broker: BrokerHandle) -> list[bytes]:
    found: list[tuple[int, bytes]] = []
    async with RawClient(broker.bootstrap) as client:
        while chunk := await _chunk(client, found[-1][0] + 1 if found else 0):
            found += values(chunk)
    return [value for _, value in found]


async def _chunk(client: RawClient, offset: int) -> bytes:
    partition = {"partition": 0, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
    fields: dict[str, Any] = {
        "replica_id": -1,
        "max_wait": datetime.timedelta(0),
        "min_bytes": 0,
        "topics": [{"topic": "t", "partitions": [partition]}],
    }
    response = await client.call(Api.FETCH, 4, fields)
    records: bytes = response.responses[0].partitions[0].records
    return records


async def test_a_full_disk_refuses_what_is_new_and_keeps_what_it_has(tmp_path: Path) -> None:
    broker = start_broker(tmp_path)
    await _create(broker, "t")
    kept = [b"%d" % i * 50 for i in range(20)]
    assert {await _produce(broker, value) for value in kept} == {ErrorCode.none}

    _fill_disk(broker.pid)
    for _ in range(10):
        assert await _produce(broker, b"refused") is ErrorCode.kafka_storage_error
    assert await _fetch(broker) == kept
    _free_disk(broker.pid)
    assert await _produce(broker, b"after") is ErrorCode.none

    assert await _fetch(broker) == [*kept, b"after"]
    broker.stop()
    assert check(tmp_path) == []


async def test_a_broker_killed_on_a_full_disk_starts_on_it_and_serves_what_it_has(tmp_path: Path) -> None:
    broker = start_broker(tmp_path)
    await _create(broker, "t")
    kept = [b"%d" % i * 50 for i in range(20)]
    for value in kept:
        await _produce(broker, value)
    _fill_disk(broker.pid)
    await _produce(broker, b"refused")
    broker.kill()

    broker = _start_on_a_full_disk(tmp_path)
    assert await _fetch(broker) == kept
    assert await _produce(broker, b"refused") is ErrorCode.kafka_storage_error

    _free_disk(broker.pid)
    assert await _produce(broker, b"after") is ErrorCode.none
    broker.kill()
    assert check(tmp_path) == []
