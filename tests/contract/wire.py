"""Requests in the protocol's own terms, for what aiokafka's clients cannot say or would hide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from noetl_stream.broker.api import Api
from tests.broker.client import RawClient

READ_COMMITTED = 1
LATEST, EARLIEST, LARGEST_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED = -1, -2, -3, -4, -5
"""What stands for a place in the log where ListOffsets expects a time."""
LIMIT = 1 << 20


async def produced(
    client: RawClient,
    topic: str,
    batch: bytes | None,
    *,
    partition: int = 0,
    acks: int = -1,
    version: int = 9,
) -> Any:
    """The answer for one batch."""
    answer = await client.call(Api.PRODUCE, version, production(topic, batch, partition=partition, acks=acks))
    [[response]] = [topic.partition_responses for topic in answer.responses]
    return response


def production(topic: str, batch: bytes | None, *, partition: int = 0, acks: int = -1) -> dict[str, Any]:
    """The fields of a Produce request."""
    sent = [{"index": partition, "records": batch}]
    return {
        "transactional_id": None,
        "acks": acks,
        "timeout": timedelta(seconds=5),
        "topic_data": [{"name": topic, "partition_data": sent}],
    }


async def fetched(client: RawClient, topic: str, offset: int, *, version: int = 12, **options: Any) -> Any:
    """The answer for one partition; the options are those of `fetching`."""
    answer = await client.call(Api.FETCH, version, fetching({topic: offset}, **options))
    [[response]] = [topic.partitions for topic in answer.responses]
    return response


def fetching(
    offsets: Mapping[str | UUID, int],
    *,
    max_wait: float = 0.5,
    min_bytes: int = 1,
    max_bytes: int = LIMIT,
    partition_bytes: int = LIMIT,
    isolation: int = 0,
    epoch: int = -1,
    session: int = 0,
) -> dict[str, Any]:
    """The fields of a Fetch request for partition 0 of each topic, by name or id. `max_wait` is in seconds."""
    return {
        "max_wait": timedelta(seconds=max_wait),
        "min_bytes": min_bytes,
        "max_bytes": max_bytes,
        "isolation_level": isolation,
        "session_id": session,
        "session_epoch": 1 if session else -1,
        "topics": [
            {
                "topic": topic,
                "topic_id": topic,
                "partitions": [
                    {
                        "partition": 0,
                        "fetch_offset": offset,
                        "partition_max_bytes": partition_bytes,
                        "current_leader_epoch": epoch,
                    }
                ],
            }
            for topic, offset in offsets.items()
        ],
        "forgotten_topics_data": [],
    }


async def listed(
    client: RawClient, topic: str, timestamp: int, *, partition: int = 0, isolation: int = 0, version: int = 9
) -> Any:
    """ListOffsets' answer for one partition."""
    wanted = [{"partition_index": partition, "timestamp": timestamp}]
    fields = {
        "replica_id": -1,
        "isolation_level": isolation,
        "timeout": timedelta(seconds=5),
        "topics": [{"name": topic, "partitions": wanted}],
    }
    answer = await client.call(Api.LIST_OFFSETS, version, fields)
    [[response]] = [topic.partitions for topic in answer.topics]
    return response


async def metadata(client: RawClient, *topics: str | UUID, create: bool = False) -> Any:
    """Metadata of topics, by name or by id."""
    wanted = [
        {"name": None, "topic_id": topic} if isinstance(topic, UUID) else {"name": topic, "topic_id": None}
        for topic in topics
    ]
    fields = {
        "topics": wanted,
        "allow_auto_topic_creation": create,
        "include_topic_authorized_operations": True,
    }
    return await client.call(Api.METADATA, 12, fields)


async def topic_id(client: RawClient, topic: str) -> UUID:
    [described] = (await metadata(client, topic)).topics
    found: UUID = described.topic_id
    return found
