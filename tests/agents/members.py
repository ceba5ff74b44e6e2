"""A Faust app as small as one can be, to ask Faust what it does: it takes records and leaves the rest to the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import faust
from faust.types import StreamT

from noetl_stream.adapters.admin import committed_offsets, ensure_topics
from noetl_stream.adapters.kafka_log import KafkaAppender
from noetl_stream.agents.app import events_of, new_app, raw_topic
from noetl_stream.wire.topics import Topic

LIMIT = 20.0
"""Seconds any single wait may take; a join takes up to 5."""


@dataclass(kw_only=True)
class Member:
    """One app in a group. `taken` are the events its agent got; it acknowledges none of them by itself."""

    app: faust.App
    topic: str
    taken: list[Any] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def agent(self, take: Callable[[Any], Awaitable[None]] | None = None) -> None:
        """Subscribe: note each event, then `take` it."""

        @self.app.agent(raw_topic(self.app, self.topic), name=f"agent-{self.topic}")
        async def work(stream: StreamT[bytes]) -> None:
            async for event in events_of(stream):
                await self.note(event)
                if take is not None:
                    await take(event)

    async def note(self, event: Any) -> None:
        async with self.changed:
            self.taken.append(event)
            self.changed.notify_all()

    async def has(self, condition: Callable[[], bool]) -> None:
        """Wait for what the agent is given."""
        async with asyncio.timeout(LIMIT), self.changed:
            await self.changed.wait_for(condition)

    async def takes(self, count: int) -> None:
        await self.has(lambda: len(self.taken) >= count)

    @property
    def places(self) -> list[tuple[int, int]]:
        """(partition, offset) of every event, in the order it was given."""
        return [(event.message.partition, event.message.offset) for event in self.taken]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.app.finalize()
        await self.app.start()
        try:
            yield
        finally:
            await self.app.stop()


@dataclass(frozen=True, kw_only=True)
class Place:
    """A topic of the test's own with its group on the shared broker."""

    bootstrap: str
    topic: str
    group: str
    folder: Path

    @classmethod
    async def create(cls, bootstrap: str, folder: Path, *, partitions: int = 1) -> Place:
        name = f"facts-{uuid4().hex[:12]}"
        await ensure_topics(bootstrap, [Topic(name=name, partitions=partitions, replication=1)])
        return cls(bootstrap=bootstrap, topic=name, group=f"{name}-group", folder=folder)

    @property
    def arguments(self) -> tuple[str, str, str, str]:
        """For a member in a process of its own."""
        return self.bootstrap, self.topic, self.group, str(self.folder)

    def member(self, take: Callable[[Any], Awaitable[None]] | None = None) -> Member:
        """An app that has subscribed and does not run yet."""
        app = new_app(self.group, self.bootstrap, data=self.folder / uuid4().hex[:8])
        member = Member(app=app, topic=self.topic)
        member.agent(take)
        return member

    async def produce(self, count: int, *, partitions: Iterable[int] = (0,)) -> None:
        """`count` records to each partition."""
        appender = await KafkaAppender.open(self.bootstrap)
        try:
            for partition in partitions:
                for number in range(count):
                    await appender.append(self.topic, str(number).encode(), partition=partition)
        finally:
            await appender.close()

    async def committed(self, partition: int = 0) -> int | None:
        """The group's committed offset; None if it never committed."""
        return (await committed_offsets(self.bootstrap, self.group, self.topic)).get(partition)

    async def commits(self, offset: int, partition: int = 0) -> None:
        """Wait until the group has committed `offset`."""
        async with asyncio.timeout(LIMIT):
            while await self.committed(partition) != offset:
                pass
