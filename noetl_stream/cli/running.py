"""Running playbooks to their end: an installation with all its roles in this process, a request, its story."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from noetl_stream.agents.roles import running
from noetl_stream.cli.embedded import embedded
from noetl_stream.core.report import Story
from noetl_stream.core.values import Value
from noetl_stream.errors import InfrastructureError
from noetl_stream.ids import execution_id, keyed_request
from noetl_stream.replay.telling import Told, tell
from noetl_stream.settings import Settings
from noetl_stream.wiring import Platform, open_platform
from noetl_stream.worker.hydrate import hydrate
from noetl_stream.worker.keep import as_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run: a registered path, its payload, and the key that makes asking twice one execution."""

    path: str
    payload: Mapping[str, Value]
    key: str
    version: int | None = None

    @property
    def execution(self) -> int:
        """The id of the execution that this starts, or has started."""
        return execution_id(keyed_request("default", self.path, self.key))

    def request(self) -> bytes:
        """The record for the request topic."""
        asked: dict[str, Value] = {
            "playbook": self.path,
            "payload": dict(self.payload),
            "idempotency_key": self.key,
        }
        return json.dumps(asked | ({"version": self.version} if self.version else {})).encode()


@asynccontextmanager
async def broker_for(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with a broker that answers: the named one, or an embedded one for as long as the block lasts."""
    if settings.bootstrap:
        yield settings
        return
    async with embedded(settings.data) as starting:
        yield settings.model_copy(update={"bootstrap": (await starting).bootstrap})


@asynccontextmanager
async def everything(settings: Settings) -> AsyncIterator[Platform]:
    """An installation with all its roles in this process, and a broker if none is named."""
    async with broker_for(settings) as reached, installation(reached) as platform:
        yield platform


@asynccontextmanager
async def installation(settings: Settings) -> AsyncIterator[Platform]:
    """All roles in this process, against `settings.bootstrap`."""
    roles = ["intake", "orchestrator", *(f"worker:{pool}" for pool in settings.pools)]
    async with open_platform(settings) as platform, running(platform, roles):
        yield platform


async def submit(platform: Platform, job: Job) -> int:
    """Produce a request as any service would; the id of the execution it starts (or has started)."""
    await platform.log.append(platform.topics.requests.name, job.request(), key=job.key.encode())
    return job.execution


async def run_to_end(
    platform: Platform, job: Job, *, start: int, timeout: float | None, watch: Callable[[Told], None]
) -> tuple[int, Story]:
    """Submit and follow the log until the execution has ended. Raises InfrastructureError after `timeout` seconds."""
    execution = await submit(platform, job)
    telling = tell(platform.reader, platform.topics, execution, start=start)
    return execution, await follow(telling, execution, timeout=timeout, watch=watch)


async def follow(
    telling: AsyncIterator[Told], execution: int, *, timeout: float | None, watch: Callable[[Told], None]
) -> Story:
    """The story of an execution, once it has ended. Raises InfrastructureError after `timeout` seconds."""
    story = Story()
    try:
        async with asyncio.timeout(timeout):
            async for told in telling:
                story.tell(told.event, told.folded, told.at)
                watch(told)
                if story.end is not None:
                    break
    except TimeoutError:
        raise InfrastructureError(
            f"execution {execution} has not ended within {timeout:g} s; it goes on where its log is kept: "
            f"see `noetl-stream status {execution}`"
        ) from None
    return story


async def report_of(platform: Platform, story: Story) -> dict[str, Value]:
    """The documented report, references resolved; tables as lists of rows. Times are seconds since the epoch."""
    results = {} if story.machine is None else story.machine.results
    resolve = {name: await resolved(platform, value) for name, value in results.items()}
    report = story.as_json(resolve)
    return report | {"ctx": await resolved(platform, report["ctx"])}


async def resolved(platform: Platform, value: Value) -> Value:
    """A value with every reference in it fetched, as plain JSON."""
    return rows_in(await hydrate(platform.cache, value))


def rows_in(value: Any) -> Value:
    """A hydrated value with its tables as lists of rows."""
    match value:
        case dict():
            return {key: rows_in(each) for key, each in value.items()}
        case list():
            return [rows_in(each) for each in value]
        case _:
            return as_rows(value)
