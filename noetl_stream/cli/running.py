"""Running one playbook to its end: a broker if none is named, all roles in this process, a request, its story."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from noetl_stream.agents.roles import running
from noetl_stream.broker.launch import start_broker
from noetl_stream.core.report import Story
from noetl_stream.core.values import Value
from noetl_stream.errors import InfrastructureError
from noetl_stream.ids import execution_id, keyed_request
from noetl_stream.replay.telling import Told, tell
from noetl_stream.settings import Settings
from noetl_stream.wiring import Platform, open_platform
from noetl_stream.worker.hydrate import hydrate


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run: a registered path, its payload, and the key that makes asking twice one execution."""

    path: str
    payload: Mapping[str, Value]
    key: str


@asynccontextmanager
async def broker_for(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with a broker that answers: the named one, or an embedded one for as long as the block lasts."""
    if settings.bootstrap:
        yield settings
        return
    broker = await asyncio.to_thread(start_broker, settings.data / "broker")
    try:
        yield settings.model_copy(update={"bootstrap": broker.bootstrap})
    finally:
        await asyncio.to_thread(broker.stop)


@asynccontextmanager
async def everything(settings: Settings) -> AsyncIterator[Platform]:
    """An installation with all its roles in this process."""
    async with broker_for(settings) as reached, open_platform(reached) as platform:
        roles = ["intake", "orchestrator", *(f"worker:{pool}" for pool in reached.pools)]
        async with running(platform, roles):
            yield platform


async def submit(platform: Platform, job: Job) -> int:
    """Produce a request as any service would; the id of the execution it starts (or has started)."""
    request = {"playbook": job.path, "payload": dict(job.payload), "idempotency_key": job.key}
    await platform.log.append(platform.topics.requests.name, json.dumps(request).encode(), key=job.key.encode())
    return execution_id(keyed_request("default", job.path, job.key))


async def run_to_end(
    platform: Platform, job: Job, *, start: int, timeout: float | None, watch: Callable[[Told], None]
) -> tuple[int, Story]:
    """Submit and follow the log until the execution has ended. Raises InfrastructureError after `timeout` seconds."""
    execution = await submit(platform, job)
    story = Story()
    try:
        async with asyncio.timeout(timeout):
            async for told in tell(platform.reader, platform.topics, execution, start=start):
                story.tell(told.event, told.folded, told.at)
                watch(told)
                if story.end is not None:
                    break
    except TimeoutError:
        raise InfrastructureError(
            f"execution {execution} has not ended within {timeout:g} s; it goes on where its log is kept: "
            f"see `noetl-stream status {execution}`"
        ) from None
    return execution, story


async def report_of(platform: Platform, story: Story) -> dict[str, Value]:
    """The documented report, references resolved; tables as lists of rows."""
    results = {} if story.machine is None else story.machine.results
    return story.as_json({name: await resolved(platform, value) for name, value in results.items()})


async def resolved(platform: Platform, value: Value) -> Value:
    """A value with every reference in it fetched, as plain JSON."""
    return _plain(await hydrate(platform.cache, value))


def _plain(value: Value) -> Value:
    from noetl_stream.worker.keep import as_rows

    match value:
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case _:
            return as_rows(value)
