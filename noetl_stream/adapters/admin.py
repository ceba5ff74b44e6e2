"""Topics created explicitly, with their counts and settings, and checked where they already are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaError,
    NoError,
    NotControllerError,
    TopicAlreadyExistsError,
    for_code,
)

from noetl_stream.adapters.connection import REQUEST_TIMEOUT_MS, unreachable
from noetl_stream.adapters.security import OPEN, Security
from noetl_stream.errors import InfrastructureError
from noetl_stream.wire.topics import Topic

_Answer = TypeVar("_Answer")

_RETRY_SECONDS = 0.1
_BROKERS_ASKED = 3
_SHOWN = ("cleanup.policy", "retention.ms", "min.insync.replicas")


async def ensure_topics(
    bootstrap: str, topics: Iterable[Topic], timeout: float = 10.0, security: Security = OPEN
) -> tuple[str, ...]:
    """Create what is missing; returns the names of what was created.

    Raises InfrastructureError if no broker answers, if the cluster refuses a topic or has too few brokers for its
    copies, or if a topic whose partition count is fixed exists with another.
    """
    wanted = tuple(topics)
    return await _asked(bootstrap, timeout, security, partial(_ensure, wanted=wanted, timeout=timeout))


async def _ensure(admin: Any, wanted: Sequence[Topic], timeout: float) -> tuple[str, ...]:
    present = await _present(admin)
    _check(wanted, present)
    missing = [topic for topic in wanted if topic.name not in present]
    created = await _create(admin, missing) if missing else ()
    _check(wanted, await _visible(admin, wanted, timeout))
    return created


async def committed_offsets(
    bootstrap: str, group: str, topic: str, timeout: float = 10.0, security: Security = OPEN
) -> Mapping[int, int]:
    """What a consumer group has committed of a topic, by partition; nothing where it never did."""
    return await _asked(bootstrap, timeout, security, partial(_committed, group=group, topic=topic))


async def _committed(admin: Any, group: str, topic: str) -> Mapping[int, int]:
    """A coordinator that is moving names no partition at all: each is asked for, so that its silence shows."""
    present = (await _present(admin)).get(topic)
    asked = [TopicPartition(topic, number) for number in range(present.partitions if present else 0)]
    if not asked:
        return {}
    found = await admin.list_consumer_group_offsets(group, partitions=asked)
    if found.keys() != set(asked):
        raise GroupCoordinatorNotAvailableError(f"{group}: its coordinator does not know its offsets yet")
    return {at.partition: meta.offset for at, meta in found.items() if meta.offset >= 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A topic as the broker has it; `settings` are those that we set or rest on, in Kafka's names."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


async def standing_topics(
    bootstrap: str, prefix: str, timeout: float = 10.0, security: Security = OPEN
) -> tuple[Standing, ...]:
    """The topics whose names begin with `prefix`, by name. Raises InfrastructureError if no broker answers."""
    return await _asked(bootstrap, timeout, security, partial(_described, prefix=prefix))


async def _described(admin: Any, prefix: str) -> tuple[Standing, ...]:
    found = {name: topic for name, topic in (await _present(admin)).items() if name.startswith(prefix)}
    settings = await _settings(admin, found)
    shown = {name: {key: mine[key] for key in _SHOWN if key in mine} for name, mine in settings.items()}
    return tuple(replace(found[name], settings=shown.get(name, {})) for name in sorted(found))


async def _present(admin: Any) -> Mapping[str, Standing]:
    return {topic["topic"]: _standing(topic) for topic in await admin.describe_topics()}


def _standing(topic: Mapping[str, Any]) -> Standing:
    replicas = max((len(partition["replicas"]) for partition in topic["partitions"]), default=0)
    return Standing(
        name=topic["topic"], partitions=len(topic["partitions"]), replication=replicas, settings={}
    )


async def _settings(admin: Any, names: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answers = await admin.describe_configs(resources) if resources else []
    described = (resource for answer in answers for resource in answer.resources)
    return {name: {key: value for key, value, *_ in entries} for _, _, _, name, entries in described}


async def _asked(
    bootstrap: str, timeout: float, security: Security, ask: Callable[[Any], Awaitable[_Answer]]
) -> _Answer:
    """What `ask` finds out. It is asked again, of whichever broker answers, while the cluster fails over.

    Raises InfrastructureError once `timeout` seconds have passed, or at an answer that time will not change.
    """
    deadline = time.monotonic() + timeout
    while True:
        async with _admin(bootstrap, timeout, security) as admin:
            try:
                return await ask(admin)
            except (KafkaError, TimeoutError) as error:
                passing = isinstance(error, TimeoutError) or error.retriable
                if not passing or time.monotonic() > deadline:
                    raise InfrastructureError(
                        f"the broker at {bootstrap} failed to answer: {error!r}"
                    ) from error
        await asyncio.sleep(_RETRY_SECONDS)


@asynccontextmanager
async def _admin(bootstrap: str, timeout: float, security: Security) -> AsyncIterator[Any]:
    # One broker may be silent: there must be time to ask the next.
    patience = min(REQUEST_TIMEOUT_MS, int(timeout * 1000 / _BROKERS_ASKED))
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=patience, **security.options()
    )
    try:
        try:
            await asyncio.wait_for(_started(admin), timeout)
        except TimeoutError as error:
            raise unreachable(bootstrap, timeout, security) from error
        yield admin
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


async def _visible(admin: Any, wanted: Iterable[Topic], timeout: float) -> Mapping[str, Standing]:
    """What is there once every topic shows: a broker learns of a new topic a little after it is created."""
    names = {topic.name for topic in wanted}
    present: Mapping[str, Standing] = {}
    for _ in range(1 + int(timeout / _RETRY_SECONDS)):
        present = await _present(admin)
        if names <= present.keys():
            return present
        await asyncio.sleep(_RETRY_SECONDS)
    hidden = ", ".join(sorted(names - present.keys()))
    raise InfrastructureError(f"the broker does not show {hidden} within {timeout:g} s; is it well?")


def _check(wanted: Iterable[Topic], present: Mapping[str, Standing]) -> None:
    for topic in wanted:
        found = present[topic.name].partitions if topic.name in present else topic.partitions
        if topic.fixed and found != topic.partitions:
            raise InfrastructureError(
                f"{topic.name} has {found} partitions, not {topic.partitions}, and its count is fixed for ever; "
                f"configure {found} partitions, or another topic prefix"
            )


async def _create(admin: Any, topics: Iterable[Topic]) -> tuple[str, ...]:
    cluster = await admin.describe_cluster()
    if cluster["controller_id"] < 0:
        raise NotControllerError("the cluster is electing a controller")
    wanted = [topic.spread(len(cluster["brokers"])) for topic in topics]
    response = await admin.create_topics([_new_topic(topic) for topic in wanted])
    outcomes = {name: (for_code(code), message) for name, code, *message in response.topic_errors}
    for name, (error, message) in outcomes.items():
        if error.retriable:
            raise error(f"{name}: {message}")
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
