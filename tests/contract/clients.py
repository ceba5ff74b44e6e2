"""What a test of the Kafka contract works with: aiokafka's clients, fresh topics, and bounded reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.structs import ConsumerRecord

from tests.broker.client import RawClient

LIMIT = 15.0
"""Seconds that any single wait may take; what is waited for takes milliseconds, or a 6 s session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Clients of one broker. Each stops with its `async with`."""

    bootstrap: str

    @asynccontextmanager
    async def producer(self, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, **{"acks": "all", **options}
        ) as producer:
            yield producer

    @asynccontextmanager
    async def consumer(self, *topics: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
        """Reads from the beginning and commits nothing by itself, unless told otherwise."""
        defaults = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
        consumer = AIOKafkaConsumer(*topics, bootstrap_servers=self.bootstrap, **{**defaults, **options})
        async with _running(consumer, consumer.stop):
            yield consumer

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        async with _running(admin, admin.close):
            yield admin

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[RawClient]:
        """A connection that says exactly what it is told to."""
        async with RawClient(self.bootstrap) as client:
            yield client

    async def topic(self, partitions: int = 1, **settings: str) -> str:
        """Create a topic under a fresh name, each partition with its leader; `retention_ms="1"` is `retention.ms`."""
        topic = fresh("topic")
        await self.create(
            topic, partitions, {name.replace("_", "."): value for name, value in settings.items()}
        )
        async with self.consumer() as consumer:
            await consumer.end_offsets([TopicPartition(topic, partition) for partition in range(partitions)])
        return topic

    async def create(
        self, topic: str, partitions: int = 1, settings: Mapping[str, str] | None = None, *, copies: int = 1
    ) -> None:
        """Ask for `topic`, or raise the broker's error."""
        wanted = NewTopic(topic, partitions, copies, topic_configs=dict(settings or {}))
        async with self.admin() as admin:
            raise_first(row[1] for row in (await admin.create_topics([wanted])).topic_errors)

    async def alter(self, topic: str, settings: Mapping[str, str]) -> None:
        """Give `topic` these settings, and its others their defaults, or raise the broker's error."""
        change = ConfigResource(ConfigResourceType.TOPIC, topic, dict(settings))
        async with self.admin() as admin:
            [answer] = await admin.alter_configs([change])
        raise_first(row[0] for row in answer.resources)

    async def delete(self, topic: str) -> None:
        """Delete `topic`, or raise the broker's error."""
        async with self.admin() as admin:
            raise_first(code for _, code in (await admin.delete_topics([topic])).topic_error_codes)

    async def partitions(self, topic: str) -> set[int]:
        async with self.admin() as admin:
            [described] = await admin.describe_topics([topic])
        return {partition["partition"] for partition in described["partitions"]}


@asynccontextmanager
async def _running(client: Any, stop: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """aiokafka's own `async with` leaves open the connections of a client whose start is refused."""
    try:
        await client.start()
        yield
    finally:
        await stop()


def fresh(kind: str) -> str:
    """A name nobody used before: brokers are shared by the session's tests."""
    return f"{kind}-{uuid4().hex[:12]}"


def raise_first(codes: Any) -> None:
    """Raise the error of the first code that is one."""
    for code in codes:
        if code:
            raise for_code(code)


async def read(consumer: AIOKafkaConsumer, count: int) -> list[ConsumerRecord]:
    """The next `count` records, waiting for them."""
    async with asyncio.timeout(LIMIT):
        return [await consumer.getone() for _ in range(count)]


async def read_to_end(consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
    """The records up to the end offsets of now: under `read_committed`, up to the last stable offsets."""
    records: list[ConsumerRecord] = []
    ends = await consumer.end_offsets(consumer.assignment())
    async with asyncio.timeout(LIMIT):
        while [partition for partition, end in ends.items() if await consumer.position(partition) < end]:
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                records += batch
    return records


async def send_all(producer: AIOKafkaProducer, topic: str, values: list[bytes], **options: Any) -> None:
    """Send every value and wait for all acknowledgements."""
    await asyncio.gather(*[await producer.send(topic, value, **options) for value in values])


async def end_offset(consumer: AIOKafkaConsumer, topic: str, partition: int = 0) -> int:
    ends = await consumer.end_offsets([at := TopicPartition(topic, partition)])
    offset: int = ends[at]
    return offset


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask the broker until it says so; brokers may spread metadata after they acknowledged a change."""
    async with asyncio.timeout(LIMIT):
        while not await condition():
            pass
