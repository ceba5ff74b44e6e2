"""What users of an installation do: register, ask, follow the log, cancel, look at dead letters."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from noetl_stream.agents.roles import running
from noetl_stream.client.results import resolved
from noetl_stream.core.events import CancelRequested, ExecutionEnded
from noetl_stream.core.report import Story
from noetl_stream.core.tokens import Token
from noetl_stream.core.values import Value, unmarked
from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.ids import execution_id, keyed_request, partition_of
from noetl_stream.ports.log import Record
from noetl_stream.replay.telling import Told, tell
from noetl_stream.settings import Settings
from noetl_stream.tools.builtin import kinds
from noetl_stream.wire.letters import ORIGIN_OFFSET, ORIGIN_PARTITION, ORIGIN_TOPIC, REASON
from noetl_stream.wiring import Platform, open_platform
from tests.tools.conftest import until

LIMIT = 30.0
"""Seconds any single wait may take."""
ALL_ROLES = ("intake", "orchestrator", "worker:default")


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A dead letter as a person reads it."""

    value: bytes | None
    reason: str
    origin: tuple[str, int, int]


@dataclass(frozen=True, kw_only=True)
class Client:
    """A user with a connection of their own."""

    platform: Platform

    async def register(self, text: str) -> str:
        """The playbook's path."""
        path = compile_playbook(
            text, file="test", kinds=kinds(), version=1, digest="", catalog_offset=0
        ).plan.path
        await self.platform.catalog.register(path, text)
        return path

    async def ask(self, path: str, payload: Value = None, *, key: str | None = None, **more: str) -> int:
        """Produce a request as any service would; the id of the execution it starts, or has started."""
        key = key or uuid4().hex
        asked = {"playbook": path, "payload": payload or {}, "idempotency_key": key, **more}
        await self.send(json.dumps(asked).encode())
        return self.execution(path, key)

    async def ask_in(self, partition: int, path: str, payload: Value = None) -> int:
        """As `ask`, for an execution that lives in this partition of the event log."""
        partitions = self.platform.topics.events.partitions
        keys = (uuid4().hex for _ in count())
        key = next(key for key in keys if partition_of(self.execution(path, key), partitions) == partition)
        return await self.ask(path, payload, key=key)

    @staticmethod
    def execution(path: str, key: str) -> int:
        """The id that a request with this key gets."""
        return execution_id(keyed_request("default", path, key))

    async def send(self, request: bytes) -> int:
        """Whatever bytes, to the request topic."""
        return await self.platform.log.append(self.platform.topics.requests.name, request, partition=0)

    async def story(self, execution: int) -> Story:
        """What the log says of an execution, once it has ended."""
        story = Story()
        for told in await self.told(execution):
            story.tell(told.event, told.folded, told.at)
        return story

    async def told(
        self, execution: int, until: Callable[[Told], bool] = lambda told: False, *, limit: float = LIMIT
    ) -> list[Told]:
        """The records of an execution up to its end, or up to the one that `until` waits for."""
        found: list[Told] = []
        telling = tell(self.platform.reader, self.platform.topics, execution)
        async with asyncio.timeout(limit), aclosing(telling):
            async for told in telling:
                found.append(told)
                ends = any(isinstance(move, ExecutionEnded) for move in told.folded.moves)
                if until(told) or (ends and told.folded.verdict == "accepted"):
                    return found
        raise AssertionError("a tail never ends")

    async def run(self, text: str, payload: Value = None) -> Story:
        """A playbook from its text to its end."""
        return await self.story(await self.ask(await self.register(text), payload))

    async def cancel(self, execution: int) -> None:
        await self.platform.facts.report(execution, CancelRequested(time=0.0, reason="the test said so"))

    async def answer(self, token: Token, answer: Value, *, by: str | None = None) -> None:
        """Answer the block that gave out this token."""
        await self.platform.facts.report(token.execution, token.answered(answer, by=by, at=time.time()))

    async def value(self, value: Value) -> Any:
        """A value of the log with every reference in it fetched, tables as lists of rows."""
        return await resolved(self.platform.cache, value)

    async def results(self, story: Story) -> Any:
        """Every step's result, a pipeline's without those of its tasks."""
        assert story.machine is not None
        return await self.value({name: unmarked(each) for name, each in story.machine.results.items()})

    async def letters(self) -> list[Letter]:
        """All dead letters so far."""
        topic = self.platform.topics.dead_letters.name
        stop = await self.platform.reader.end(topic, 0)
        return [_letter(record) async for record in self.platform.reader.read(topic, 0, 0, stop)]

    async def records(self, topic: str, partition: int, count: int) -> list[Record]:
        """The first records of a partition, waiting for them."""
        found: list[Record] = []
        async with (
            asyncio.timeout(LIMIT),
            aclosing(self.platform.reader.read(topic, partition, 0)) as reading,
        ):
            async for record in reading:
                found.append(record)
                if len(found) == count:
                    return found
        raise AssertionError("a tail never ends")

    async def log_of(self, execution: int) -> list[Record]:
        """The partition of the event log that an execution lives in, up to its present end."""
        events = self.platform.topics.events
        partition = partition_of(execution, events.partitions)
        stop = await self.platform.reader.end(events.name, partition)
        return [record async for record in self.platform.reader.read(events.name, partition, 0, stop)]


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Client]:
    """A client alone: roles run elsewhere."""
    async with open_platform(settings) as platform:
        yield Client(platform=platform)


@asynccontextmanager
async def installed(settings: Settings, *roles: str) -> AsyncIterator[Client]:
    """These roles in this process (all if none is named), and a client of theirs."""
    async with open_platform(settings) as platform, running(platform, roles or ALL_ROLES):
        yield Client(platform=platform)


async def there(file: Path) -> None:
    """Return once a task has made this file."""
    async with asyncio.timeout(LIMIT):
        await until(file.exists)


def _letter(record: Record) -> Letter:
    headers = dict(record.headers)
    place = (headers[ORIGIN_TOPIC].decode(), int(headers[ORIGIN_PARTITION]), int(headers[ORIGIN_OFFSET]))
    return Letter(value=record.value, reason=headers[REASON].decode(), origin=place)
