"""The embedded broker of a command: started at once in the background, ended with the command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from noetl_stream.broker.launch import BrokerHandle, start_broker
from noetl_stream.commitlog.fsync import FsyncPolicy
from noetl_stream.errors import InfrastructureError

_FAREWELL_SECONDS = 1.0


@asynccontextmanager
async def embedded(
    data: Path, *, port: int = 0, fsync: FsyncPolicy = "commit"
) -> AsyncIterator[asyncio.Future[BrokerHandle]]:
    """A broker on `data`/broker, on its way up while the caller does other things. The future raises why it cannot.

    Raises InfrastructureError, and ends the block, if the broker ends before the block does.
    """
    start = partial(start_broker, folder(data), port=port, fsync=fsync)
    starting = asyncio.get_running_loop().run_in_executor(None, start)
    try:
        async with _alive(starting, folder(data)):
            yield starting
    finally:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await asyncio.to_thread(starting.result().stop)


@asynccontextmanager
async def _alive(starting: asyncio.Future[BrokerHandle], place: Path) -> AsyncIterator[None]:
    """The block, for as long as the broker lives. One that never started is the block's own affair."""
    block = asyncio.current_task()
    assert block is not None
    lost: list[int] = []
    watch = asyncio.create_task(_end_with(starting, block, lost))
    try:
        yield
    except BaseException as error:
        if not lost:
            raise
        while block.cancelling():
            block.uncancel()
        raise InfrastructureError(
            f"the embedded broker ended with code {lost[0]} while it was needed; "
            f"read {place / 'broker.log'}, and start again"
        ) from error
    finally:
        watch.cancel()


async def _end_with(
    starting: asyncio.Future[BrokerHandle], block: asyncio.Task[object], lost: list[int]
) -> None:
    """Once the broker has ended, end the block. Its clients would say farewell to nobody: each such wait is cut short."""
    await asyncio.wait([starting])
    if starting.exception() is not None:
        return
    lost.append(await starting.result().ended())
    while True:
        block.cancel()
        await asyncio.sleep(_FAREWELL_SECONDS)


@asynccontextmanager
async def bootstrap_of(
    named: str, data: Path, *, port: int = 0, fsync: FsyncPolicy = "commit"
) -> AsyncIterator[asyncio.Future[str]]:
    """Where a broker will answer: at the named address, or where an embedded one says once it is up."""
    if named:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        address.set_result(named)
        yield address
        return
    async with embedded(data, port=port, fsync=fsync) as starting:
        yield asyncio.ensure_future(_address(starting))


async def _address(starting: asyncio.Future[BrokerHandle]) -> str:
    return (await starting).bootstrap


def folder(data: Path) -> Path:
    """Where the embedded broker keeps its log."""
    return data / "broker"


def address_of(data: Path) -> str | None:
    """Where a broker that runs on `data` says it can be reached; None if none says so."""
    try:
        noted = json.loads((folder(data) / "broker.json").read_text())
    except FileNotFoundError:
        return None
    return str(noted["bootstrap"])
