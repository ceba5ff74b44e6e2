"""Topics created explicitly, with their counts and settings, and checked where they already are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from noetl_stream.adapters.connection import REQUEST_TIMEOUT_MS, unreachable
from noetl_stream.errors import InfrastructureError
from noetl_stream.wire.topics import Topic

_RETRY_SECONDS = 0.1


async def wait_for_broker(bootstrap: str, timeout: float = 10.0) -> None:
    """Return once a broker answers. Raises InfrastructureError after `timeout` seconds."""
    async with _admin(bootstrap, timeout):
        return


async def ensure_topics(bootstrap: str, topics: Iterable[Topic], timeout: float = 10.0) -> tuple[str, ...]:
    """Create what is missing; returns the names of what was created.

    Raises InfrastructureError if no broker answers, if one refuses to create a topic, or if a topic whose partition
    count is fixed exists with another.
    """
    wanted = {topic.name: topic for topic in topics}
    async with _admin(bootstrap, timeout) as admin:
        counts = await _partition_counts(admin)
        _check(wanted.values(), counts)
        missing = [topic for name, topic in wanted.items() if name not in counts]
        if missing:
            await _create(admin, missing)
        return tuple(topic.name for topic in missing)


async def committed_offsets(
    bootstrap: str, group: str, topic: str, timeout: float = 10.0
) -> Mapping[int, int]:
    """What a consumer group has committed of a topic, by partition; nothing where it never did."""
    async with _admin(bootstrap, timeout) as admin:
        found = await admin.list_consumer_group_offsets(group)
    return {at.partition: meta.offset for at, meta in found.items() if at.topic == topic and meta.offset >= 0}


@asynccontextmanager
async def _admin(bootstrap: str, timeout: float) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await asyncio.wait_for(_started(admin), timeout)
    except TimeoutError as error:
        await admin.close()
        raise unreachable(bootstrap, timeout) from error
    try:
        yield admin
    except KafkaError as error:
        raise InfrastructureError(f"the broker at {bootstrap} failed to answer: {error!r}") from error
    finally:
        await admin.close()


async def _started(admin: Any) -> None:
    while True:
        try:
            await admin.start()
        except KafkaError:
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def _partition_counts(admin: Any) -> Mapping[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


def _check(wanted: Iterable[Topic], counts: Mapping[str, int]) -> None:
    for topic in wanted:
        found = counts.get(topic.name, topic.partitions)
        if topic.fixed and found != topic.partitions:
            raise InfrastructureError(
                f"{topic.name} has {found} partitions, not {topic.partitions}, and its count is fixed for ever; "
                f"configure {found} partitions, or another topic prefix"
            )


async def _create(admin: Any, topics: Iterable[Topic]) -> None:
    response = await admin.create_topics([_new_topic(topic) for topic in topics])
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        # Another process may have been quicker: it created the same from the same definitions.
        if error not in (NoError, TopicAlreadyExistsError):
            raise InfrastructureError(f"the broker did not create {name}: {error.__name__} {message}")


def _new_topic(topic: Topic) -> NewTopic:
    return NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=topic.replication,
        topic_configs=dict(topic.config),
    )
