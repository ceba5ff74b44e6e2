"""Running playbooks to their end: an installation with all its roles in this process, a request, its story."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from noetl_stream.agents.roles import running
from noetl_stream.cli.embedded import bootstrap_of
from noetl_stream.client.jobs import Job, ask_and_follow
from noetl_stream.client.results import resolved
from noetl_stream.core.report import Story
from noetl_stream.core.values import Value
from noetl_stream.replay.telling import Told
from noetl_stream.settings import Settings
from noetl_stream.wiring import Platform, open_platform

__all__ = ["Job", "everything", "installation", "report_of", "resolved", "run_to_end"]


@asynccontextmanager
async def broker_for(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with a broker that answers: the named one, or an embedded one for as long as the block lasts."""
    async with bootstrap_of(settings.bootstrap, settings.data) as address:
        yield settings.at(await address)


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


async def run_to_end(
    platform: Platform,
    job: Job,
    *,
    timeout: float | None,
    watch: Callable[[Told], None],
    durable: bool = True,
) -> Story:
    """Submit and follow the log until the execution has ended. Raises as `ask_and_follow` does."""
    log, reader = platform.log, platform.reader
    return await ask_and_follow(
        log, reader, platform.topics, job, timeout=timeout, watch=watch, durable=durable
    )


async def report_of(platform: Platform, story: Story) -> dict[str, Value]:
    """The documented report, references resolved; tables as lists of rows. Times are seconds since the epoch."""
    results = {} if story.machine is None else story.machine.results
    resolve = {name: await resolved(platform.cache, value) for name, value in results.items()}
    report = story.as_json(resolve)
    return report | {"ctx": await resolved(platform.cache, report["ctx"])}
