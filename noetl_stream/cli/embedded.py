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


@asynccontextmanager
async def embedded(
    data: Path, *, port: int = 0, fsync: FsyncPolicy = "commit"
) -> AsyncIterator[asyncio.Future[BrokerHandle]]:
    """A broker on `data`/broker, on its way up while the caller does other things. The future raises why it cannot."""
    start = partial(start_broker, folder(data), port=port, fsync=fsync)
    starting = asyncio.get_running_loop().run_in_executor(None, start)
    try:
        yield starting
    finally:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await asyncio.to_thread(starting.result().stop)


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
