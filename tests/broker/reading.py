"""What a test reads back: records as a reader of committed ones sees them, and groups' positions."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatch
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from tests.broker.client import RawClient


async def create_topic(client: RawClient, partitions: int, name: str = "t") -> None:
    topic = {"name": name, "num_partitions": partitions, "replication_factor": 1}
    fields = {"topics": [{**topic, "assignments": [], "configs": []}], "validate_only": False}
    timeout = datetime.timedelta(seconds=10)
    [created] = (await client.call(Api.CREATE_TOPICS, 5, {**fields, "timeout": timeout})).topics
    assert created.error_code is ErrorCode.none


async def fetch(client: RawClient, partition: int, offset: int = 0, topic: str = "t") -> Any:
    """One partition's part of a Fetch response, up to the last stable offset."""
    at = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
    fields = {
        "max_wait": datetime.timedelta(0),
        "min_bytes": 0,
        "isolation_level": 1,
        "topics": [{"topic": topic, "partitions": [at]}],
        "forgotten_topics_data": [],
    }
    [answered] = (await client.call(Api.FETCH, 12, fields)).responses
    [found] = answered.partitions
    return found


async def committed_values(client: RawClient, partition: int, topic: str = "t") -> list[bytes]:
    """As a client reads them: it leaves out markers, and what lies between an aborted beginning and its marker."""
    found = await fetch(client, partition, topic=topic)
    aborted = sorted((each.first_offset, each.producer_id) for each in found.aborted_transactions or ())
    in_abort: set[int] = set()
    committed = []
    for batch in _batches(found.records or b""):
        in_abort |= {producer for first, producer in aborted if first == batch.base_offset}
        if batch.is_control_batch:
            in_abort.discard(batch.producer_id)
        elif batch.producer_id not in in_abort:
            committed += [record.value for record in batch]
    return committed


def _batches(chunk: bytes) -> Iterator[Any]:
    while chunk:
        size = int.from_bytes(chunk[8:12], "big") + 12
        yield DefaultRecordBatch(bytearray(chunk[:size]))
        chunk = chunk[size:]


async def committed_position(client: RawClient, group: str, partition: int = 0, topic: str = "t") -> int:
    """-1 where there is none. Waits until no transaction may move it any more."""
    wanted = {"group_id": group, "topics": [{"name": topic, "partition_indexes": (partition,)}]}
    async with asyncio.timeout(20):
        while True:
            [answered] = (await client.call(Api.OFFSET_FETCH, 7, {**wanted, "require_stable": True})).topics
            [position] = answered.partitions
            if position.error_code is not ErrorCode.unstable_offset_commit:
                assert position.error_code is ErrorCode.none
                return int(position.committed_offset)
