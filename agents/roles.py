"""Starting roles in this process: each is a Faust app of its own in a consumer group of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple

import faust

from noetl_stream import wiring
from noetl_stream.agents import intake, orchestrator, worker
from noetl_stream.agents.app import holds, new_app, until_done
from noetl_stream.core.lanes import LANES, Priority, in_lane
from noetl_stream.errors import InfrastructureError
from noetl_stream.orchestrator.orchestrator import Group
from noetl_stream.ports.credentials import Credentials
from noetl_stream.ports.tools import Tool
from noetl_stream.tools.container.watching import Watcher
from noetl_stream.wiring import Platform
from noetl_stream.wiring_chores import PlatformChores
from noetl_stream.wiring_containers import open_runtime
from noetl_stream.wiring_keychain import open_credentials
from noetl_stream.worker.worker import Worker

log = logging.getLogger(__name__)


class Means(NamedTuple):
    """What the workers of this process share."""

    tools: Mapping[str, Tool]
    credentials: Credentials


@asynccontextmanager
async def running(platform: Platform, roles: Iterable[str]) -> AsyncIterator[None]:
    """Run `intake`, `orchestrator` and `worker:<pool>` roles until the block ends, all at once.

    Raises InfrastructureError, and ends the block, if Faust crashes under one of them: such an app keeps its partitions
    and delivers nothing, so the process must end for the group to move on.
    """
    async with AsyncExitStack() as stack:
        means: Means | None = None
        if any(role.startswith("worker:") for role in roles):
            opened = open_credentials(platform.settings, platform.log, platform.reader)
            credentials = await stack.enter_async_context(opened)
            runtime = await stack.enter_async_context(open_runtime(platform.settings))
            tools = wiring.open_tools(platform, PlatformChores(platform), runtime)
            means = Means(await stack.enter_async_context(tools), credentials)
            if runtime is not None:
                await stack.enter_async_context(_watching(platform, Watcher(runtime, platform.facts)))
        apps = [app for role in roles for app in _apps(platform, role, means, stack)]
        await asyncio.gather(*(_start(app, stack) for app in apps))
        async with watched(apps):
            yield


@asynccontextmanager
async def _watching(platform: Platform, watcher: Watcher) -> AsyncIterator[None]:
    """Tell blocks of their containers' ends until the block ends."""
    works = (watcher.run, partial(wiring.heed, platform, watcher))
    tasks = [asyncio.create_task(until_done(work, log)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def watched(apps: Iterable[faust.App]) -> AsyncIterator[None]:
    """The block, for as long as every app is well. What the block itself raises comes out as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            watchers = [group.create_task(_until_crash(app)) for app in apps]
            try:
                yield
            finally:
                for watcher in watchers:
                    watcher.cancel()
    except BaseExceptionGroup as failed:
        # A crash comes before what the block raises while it is cancelled for it.
        first = failed.exceptions[0]
        raise first from first.__cause__


async def _until_crash(app: faust.App) -> None:
    await app.wait_until_stopped()
    if app.crashed:
        raise InfrastructureError(
            f"{app.conf.id} crashed inside Faust; read the log above, and start it again"
        )


async def _start(app: faust.App, stack: AsyncExitStack) -> None:
    app.finalize()
    await app.start()
    stack.push_async_callback(app.stop)


def _apps(platform: Platform, role: str, means: Means | None, stack: AsyncExitStack) -> Iterable[faust.App]:
    kind, _, pool = role.partition(":")
    match kind:
        case "intake":
            app = _member(platform, kind)
            intake.register(app, requests=platform.topics.requests.name, intake=wiring.new_intake(platform))
            return [app]
        case "orchestrator":
            app = _member(platform, kind)
            _orchestrator(app, platform)
            return [app]
        case "worker":
            assert means is not None  # there is a worker among the roles
            slots = wiring.new_worker(platform, pool, means.tools, means.credentials)
            stack.push_async_callback(slots.close)
            hints = asyncio.create_task(until_done(partial(wiring.heed, platform, slots), log))
            stack.callback(hints.cancel)
            return [_lane(platform, slots, pool, lane) for lane in LANES]
        case _:
            raise ValueError(f"there is no role '{role}'; use intake, orchestrator or worker:<pool>")


def _member(platform: Platform, group: str) -> faust.App:
    """An app in a consumer group of this installation."""
    settings = platform.settings
    return new_app(
        settings.group(group), settings.bootstrap, data=settings.data / "faust", security=platform.security
    )


def _lane(platform: Platform, slots: Worker, pool: str, lane: Priority) -> faust.App:
    """One lane of a pool. Each has a consumer of its own: Faust holds back all that a consumer reads once one topic's
    buffer is full, and a long queue of low offers must not hold back a high one."""
    app = _member(platform, in_lane(f"worker.{pool}", lane))
    blocks = platform.topics.blocks(pool, lane).name
    platform.neighbours.workers[blocks] = (slots, partial(holds, app, blocks))
    worker.register(app, blocks=blocks, worker=slots, read=partial(wiring.read_offer, platform))
    return app


def _orchestrator(app: faust.App, platform: Platform) -> None:
    events = platform.topics.events.name
    seats = orchestrator.Seats(app, events)
    group = Group(
        committed=partial(wiring.orchestrator_offsets, platform),
        still_mine=seats.still_mine,
        commit=seats.commit,
    )
    shell = wiring.new_orchestrator(platform, group)
    orchestrator.register(app, events=events, seats=seats, orchestrator=shell)
