"""Topics created explicitly, with their counts and settings, and checked where they already are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from noetl_stream.adapters.connection import REQUEST_TIMEOUT_MS, unreachable
from noetl_stream.errors import InfrastructureError
from noetl_stream.wire.topics import Topic

_RETRY_SECONDS = 0.1
_SHOWN = ("cleanup.policy", "retention.ms", "min.insync.replicas")


async def wait_for_broker(bootstrap: str, timeout: float = 10.0) -> None:
    """Return once a broker answers. Raises InfrastructureError after `timeout` seconds."""
    async with _admin(bootstrap, timeout):
        return


async def ensure_topics(bootstrap: str, topics: Iterable[Topic], timeout: float = 10.0) -> tuple[str, ...]:
    """Create what is missing; returns the names of what was created.

    Raises InfrastructureError if no broker answers, if one refuses to create a topic, or if a topic whose partition
    count is fixed exists with another.
    """
    wanted = tuple(topics)
    async with _admin(bootstrap, timeout) as admin:
        counts = await _partition_counts(admin)
        _check(wanted, counts)
        missing = [topic for topic in wanted if topic.name not in counts]
        created = await _create(admin, missing) if missing else ()
        _check(wanted, await _visible(admin, wanted, timeout))
        return created


async def committed_offsets(
    bootstrap: str, group: str, topic: str, timeout: float = 10.0
) -> Mapping[int, int]:
    """What a consumer group has committed of a topic, by partition; nothing where it never did."""
    async with _admin(bootstrap, timeout) as admin:
        found = await admin.list_consumer_group_offsets(group)
    return {at.partition: meta.offset for at, meta in found.items() if at.topic == topic and meta.offset >= 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A topic as the broker has it; `settings` are those that we set or rest on, in Kafka's names."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


async def standing_topics(bootstrap: str, prefix: str, timeout: float = 10.0) -> tuple[Standing, ...]:
    """The topics whose names begin with `prefix`, by name. Raises InfrastructureError if no broker answers."""
    async with _admin(bootstrap, timeout) as admin:
        found = [topic for topic in await admin.describe_topics() if topic["topic"].startswith(prefix)]
        settings = await _settings(admin, [topic["topic"] for topic in found])
    standing = (_standing(topic, settings.get(topic["topic"], {})) for topic in found)
    return tuple(sorted(standing, key=lambda topic: topic.name))


def _standing(topic: Mapping[str, Any], settings: Mapping[str, str]) -> Standing:
    replicas = max((len(partition["replicas"]) for partition in topic["partitions"]), default=0)
    return Standing(
        name=topic["topic"],
        partitions=len(topic["partitions"]),
        replication=replicas,
        settings={name: settings[name] for name in _SHOWN if name in settings},
    )


async def _settings(admin: Any, names: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answers = await admin.describe_configs(resources) if resources else []
    described = (resource for answer in answers for resource in answer.resources)
    return {name: {key: value for key, value, *_ in entries} for _, _, _, name, entries in described}


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


async def _visible(admin: Any, wanted: Iterable[Topic], timeout: float) -> Mapping[str, int]:
    """The partition counts once every topic shows: a broker learns of a new topic a little after it is created."""
    names = {topic.name for topic in wanted}
    counts: Mapping[str, int] = {}
    for _ in range(1 + int(timeout / _RETRY_SECONDS)):
        counts = await _partition_counts(admin)
        if names <= counts.keys():
            return counts
        await asyncio.sleep(_RETRY_SECONDS)
    hidden = ", ".join(sorted(names - counts.keys()))
    raise InfrastructureError(f"the broker does not show {hidden} within {timeout:g} s; is it well?")


def _check(wanted: Iterable[Topic], counts: Mapping[str, int]) -> None:
    for topic in wanted:
        found = counts.get(topic.name, topic.partitions)
        if topic.fixed and found != topic.partitions:
            raise InfrastructureError(
                f"{topic.name} has {found} partitions, not {topic.partitions}, and its count is fixed for ever; "
                f"configure {found} partitions, or another topic prefix"
            )


async def _create(admin: Any, topics: Iterable[Topic]) -> tuple[str, ...]:
    response = await admin.create_topics([_new_topic(topic) for topic in topics])
    outcomes = {name: (for_code(code), message) for name, code, *message in response.topic_errors}
    for name, (error, message) in outcomes.items():
        # Another process may have been quicker, or the list of topics was old: their counts are checked all the same.
        if error not in (NoError, TopicAlreadyExistsError):
            raise InfrastructureError(f"the broker did not create {name}: {error.__name__} {message}")
    return tuple(name for name, (error, _) in outcomes.items() if error is NoError)


def _new_topic(topic: Topic) -> NewTopic:
    return NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=topic.replication,
        topic_configs=dict(topic.config),
    )
