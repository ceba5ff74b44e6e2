"""Members of a consumer group whose assignments can be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from tests.contract.clients import LIMIT, Kafka, fresh

SESSION = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 300}  # Apache Kafka allows no shorter session


@dataclass(kw_only=True)
class Member(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """One consumer of a group: what it holds, and how often it was given partitions."""

    consumer: AIOKafkaConsumer
    changed: asyncio.Condition
    held: frozenset[TopicPartition] = frozenset()
    assignments: int = 0

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.held = frozenset()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        async with self.changed:
            self.held = frozenset(assigned)
            self.assignments += 1
            self.changed.notify_all()


@dataclass(frozen=True, kw_only=True)
class Group:
    """A consumer group on one topic."""

    kafka: Kafka
    topic: str
    name: str = field(default_factory=lambda: fresh("group"))
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def member(self, **options: Any) -> AsyncIterator[Member]:
        """Join; leave with the `async with`."""
        async with self.kafka.consumer(group_id=self.name, **{**SESSION, **options}) as consumer:
            member = Member(consumer=consumer, changed=self.changed)
            consumer.subscribe([self.topic], listener=member)
            yield member

    async def shares(self, sizes: list[int], *members: Member) -> None:
        """Wait until the members hold that many partitions each, in any order, and no partition is held twice."""

        def shared() -> bool:
            held = [member.held for member in members]
            return sorted(map(len, held)) == sizes and len(frozenset().union(*held)) == sum(sizes)

        await self.until(shared)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on members, asking again whenever one was given partitions."""
        async with asyncio.timeout(LIMIT), self.changed:
            await self.changed.wait_for(condition)
