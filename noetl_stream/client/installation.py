"""Connections to an installation through its log alone: nothing runs here, and nothing is created."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from noetl_stream.adapters.admin import standing_topics
from noetl_stream.adapters.catalog import KafkaCatalog
from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.adapters.schema_topic import SchemaTopic
from noetl_stream.adapters.security import Security
from noetl_stream.core.events import CancelRequested, Fact
from noetl_stream.core.execution import Execution
from noetl_stream.core.machine import Verdict
from noetl_stream.core.plan import Plan
from noetl_stream.core.report import Story
from noetl_stream.errors import InfrastructureError, InvalidRequest
from noetl_stream.ids import partition_of
from noetl_stream.replay.telling import ALWAYS, state_at, story_of, tell
from noetl_stream.settings import Settings
from noetl_stream.wire.codec import encode, registry
from noetl_stream.wire.topics import Topics

ACTOR = "noetl-stream"
"""Who appends what people ask for here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Connections to read an installation's log, and to ask something of it. `topics` has the log's true count."""

    settings: Settings
    topics: Topics
    log: KafkaAppender
    reader: KafkaReader
    schemas: SchemaTopic

    async def story(self, execution: int) -> Story:
        """An execution's story up to now. Raises InvalidRequest if the log has no such execution."""
        story = await story_of(self.reader, self.topics, execution)
        if story.machine is None:
            raise unknown(execution)
        return story

    async def state(self, execution: int) -> Execution:
        """An execution's state now. Raises InvalidRequest if the log has no such execution."""
        state = await state_at(self.reader, self.topics, execution, ALWAYS)
        if state is None:
            raise unknown(execution)
        return state

    async def cancel(self, execution: int, reason: str) -> None:
        """Append the wish to stop; the partition's owner sees to it."""
        await self._append(execution, CancelRequested(time=time.time(), reason=reason, actor=ACTOR))

    async def report(self, execution: int, fact: Fact) -> Verdict:
        """Append a fact, and fold the log up to it: whoever reads it comes to the same verdict."""
        await self.schemas.publish()
        offset = await self._append(execution, fact)
        async for told in tell(self.reader, self.topics, execution, stop=offset + 1):
            if told.record.offset == offset:
                return told.folded.verdict
        raise InfrastructureError(
            f"the log does not give back the record at offset {offset}; look again later"
        )

    async def _append(self, execution: int, fact: Fact) -> int:
        events = self.topics.events
        return await self.log.append(
            events.name,
            encode(fact),
            key=str(execution).encode(),
            partition=partition_of(execution, events.partitions),
            headers={"noetl-execution": str(execution), "noetl-type": type(fact).__name__},
        )

    @asynccontextmanager
    async def catalog(self) -> AsyncIterator[KafkaCatalog]:
        """What is registered. It is read and added to, never compiled here."""
        catalog = await KafkaCatalog.open(self.log, self.reader, self.topics.catalog.name, _no_plan)
        try:
            yield catalog
        finally:
            await catalog.close()


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Installation]:
    """Connections to the installation at `settings.bootstrap`.

    Raises:
        InvalidRequest: there is none.
        InfrastructureError: its broker does not answer within `settings.timeout` seconds.
    """
    security = settings.security
    topics = await _topics(settings, security)
    async with AsyncExitStack() as stack:
        log = await KafkaAppender.open(settings.bootstrap, timeout=settings.timeout, security=security)
        stack.push_async_callback(log.close)
        reader = KafkaReader(settings.bootstrap, security=security)
        stack.push_async_callback(reader.close)
        schemas = SchemaTopic(log, reader, topics.schemas.name, registry())
        await schemas.catch_up()
        yield Installation(settings=settings, topics=topics, log=log, reader=reader, schemas=schemas)


async def _topics(settings: Settings, security: Security) -> Topics:
    """The installation's topics, by the partition count that its log was created with."""
    standing = await standing_topics(settings.bootstrap, settings.prefix, settings.timeout, security)
    counts = {topic.name: topic.partitions for topic in standing}
    events = settings.topics.events.name
    if events not in counts:
        raise InvalidRequest(
            f"there is no {events} at {settings.bootstrap}; create it with `noetl-stream topics`, or start `up`"
        )
    return settings.model_copy(update={"partitions": counts[events]}).topics


def unknown(execution: int) -> InvalidRequest:
    return InvalidRequest(
        f"there is no execution {execution} in this log; check the id, and --bootstrap or --data"
    )


def _no_plan(_: object) -> Plan:
    raise InvalidRequest("a reader of the catalog compiles nothing")
