"""An installation seen through its log alone: no role runs here, and nothing is created."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from noetl_stream.cli import logs
from noetl_stream.cli.embedded import address_of, embedded, folder
from noetl_stream.client.installation import Installation, connected
from noetl_stream.errors import InfrastructureError, InvalidRequest
from noetl_stream.settings import Settings


@asynccontextmanager
async def opened(settings: Settings, *, running: bool = False) -> AsyncIterator[Installation]:
    """The installation that the settings name. One that is stopped is read through a broker of our own.

    Args:
        running: refuse a stopped one, since what is asked of it would wait for ever.

    Raises:
        InvalidRequest: there is none.
        InfrastructureError: its broker does not answer within `settings.timeout` seconds.
    """
    logs.of_a_command()
    async with located(settings, running=running) as reached, connected(reached) as installation:
        yield installation


@asynccontextmanager
async def located(settings: Settings, *, running: bool = False) -> AsyncIterator[Settings]:
    """The settings with the address of a broker: the named one, one that runs on the data folder, or one of our own."""
    address = settings.bootstrap or await running_on(settings)
    if address:
        yield settings.model_copy(update={"bootstrap": address})
    elif running or not folder(settings.data).exists():
        raise _nothing(settings, running=running)
    else:
        async with embedded(settings.data) as starting:
            yield settings.at((await starting).bootstrap)


async def running_on(settings: Settings) -> str | None:
    """Where a broker on the data folder answers. An address that a killed broker left behind is none."""
    address = address_of(settings.data)
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return None
    writer.close()
    await writer.wait_closed()
    return address


def _nothing(settings: Settings, *, running: bool) -> InvalidRequest | InfrastructureError:
    if running:
        return InfrastructureError(
            f"no broker runs on {settings.data}; start one with `noetl-stream up --data {settings.data}`, "
            "or name one with --bootstrap"
        )
    return InvalidRequest(f"there is no installation in {settings.data}; name one with --data or --bootstrap")
