"""Users' own Kafka clusters, through aiokafka: one client for a task's call, gone when it ends or is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from noetl_stream.adapters.connection import stop_consumer, stop_producer
from noetl_stream.adapters.draining import Drain
from noetl_stream.adapters.security import Login, Security
from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import Cluster, Drained, Offsets, Outgoing, Range

_TIMEOUT_MS: Final = 10_000
_NO_LOGIN: Final = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)


class UserKafka:
    """Implements `ports.brokers.Brokers`."""

    async def produce(
        self, cluster: Cluster, topic: str, records: Sequence[Outgoing]
    ) -> Sequence[tuple[int, int]]:
        producer = AIOKafkaProducer(
            acks="all", enable_idempotence=True, request_timeout_ms=_TIMEOUT_MS, **_options(cluster)
        )
        async with _started(producer, cluster, topic):
            known = await _partitions(producer.client, topic)
            _check({r.partition for r in records if r.partition is not None}, known, topic)
            sent = [
                await producer.send(topic, r.value, key=r.key, partition=r.partition, headers=list(r.headers))
                for r in records
            ]
            # All have an end before the first failure is told: none is left that nobody looks at.
            if sent:
                await asyncio.wait(sent)
            found = [each.result() for each in sent]
        return [(each.partition, each.offset) for each in found]

    async def drain(self, cluster: Cluster, topic: str, wanted: Range) -> Drained:
        consumer = _consumer(cluster, wanted.group)
        async with _started(consumer, cluster, topic):
            known = await _partitions(consumer._client, topic)
            chosen = sorted(known if wanted.partitions is None else wanted.partitions)
            _check(set(chosen), known, topic)
            drain = Drain(consumer, [TopicPartition(topic, each) for each in chosen], wanted)
            return await drain.run(monotonic() + wanted.seconds)

    async def commit(self, cluster: Cluster, topic: str, group: str, offsets: Offsets) -> None:
        consumer = _consumer(cluster, group)
        async with _started(consumer, cluster, topic):
            _check(set(offsets), await _partitions(consumer._client, topic), topic)
            places = {TopicPartition(topic, each): offset for each, offset in offsets.items()}
            consumer.assign(list(places))
            await consumer.commit(places)


def _consumer(cluster: Cluster, group: str | None) -> Any:
    return AIOKafkaConsumer(
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        request_timeout_ms=_TIMEOUT_MS,
        **_options(cluster),
    )


@asynccontextmanager
async def _started(client: Any, cluster: Cluster, topic: str) -> AsyncIterator[None]:
    try:
        await client.start()
        yield
    except KafkaError as error:
        raise await _failed(error, cluster, topic) from error
    finally:
        if isinstance(client, AIOKafkaConsumer):
            await stop_consumer(client)
        else:
            await stop_producer(client)


async def _partitions(client: Any, topic: str) -> set[int]:
    """Asked of all topics: to ask for one would create it on some brokers."""
    metadata = await client.fetch_all_metadata()
    found: set[int] | None = metadata.partitions_for_topic(topic)
    if not found:
        raise ToolError(
            f"there is no topic '{topic}'; create it, or correct its name",
            kind="client_error",
            status=404,
            code="unknown_topic",
        )
    return found


def _check(asked: set[int], known: set[int], topic: str) -> None:
    if lacking := sorted(asked - known):
        raise ToolError(
            f"topic '{topic}' has no partition {lacking[0]}; it has 0 to {max(known)}",
            kind="client_error",
            status=404,
            code="unknown_partition",
        )


async def _failed(error: KafkaError, cluster: Cluster, topic: str) -> ToolError:
    where = f"Kafka at {cluster.bootstrap}"
    if isinstance(error, _NO_LOGIN) or await _refuses_login(cluster):
        return ToolError(
            f"{where} refuses the login as '{cluster.username}'; check user, password and `mechanism`",
            kind="auth",
        )
    if isinstance(error, TopicAuthorizationFailedError):
        return ToolError(
            f"topic '{topic}' is closed to '{cluster.username}'; grant it", kind="auth", status=403
        )
    if isinstance(error, MessageSizeTooLargeError):
        return ToolError(
            f"a record is larger than topic '{topic}' takes; send less, or a reference",
            kind="client_error",
            code="too_large",
        )
    return ToolError(
        f"{where} failed ({type(error).__name__}); is it running, and is its address right?",
        kind="connection",
        retryable=True,
        code=type(error).__name__,
    )


async def _refuses_login(cluster: Cluster) -> bool:
    """aiokafka tells a refused login like a broker that is not there, so it is asked once more."""
    if cluster.mechanism is None:
        return False
    host, _, port = cluster.bootstrap.partition(",")[0].rpartition(":")
    options: Mapping[str, Any] = {k: v for k, v in _options(cluster).items() if k != "bootstrap_servers"}
    try:
        connection = await create_conn(host, int(port), request_timeout_ms=_TIMEOUT_MS, **options)
    except _NO_LOGIN:
        return True
    except (KafkaError, OSError, ValueError):
        return False
    with suppress(KafkaError):
        connection.close()
    return False


def _options(cluster: Cluster) -> Mapping[str, Any]:
    login = None
    if cluster.mechanism is not None:
        login = Login(mechanism=cluster.mechanism, username=cluster.username, password=cluster.password)
    return {"bootstrap_servers": cluster.bootstrap, **Security(tls=cluster.tls, login=login).options()}
