"""A Faust app whose broker is away can be stopped: a role heeds SIGTERM while it waits for a broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from noetl_stream.broker.launch import start_broker
from tests.agents.members import Place


@pytest.mark.slow
async def test_an_app_stops_although_its_broker_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Faust waited for ever for a thread that a cancelled fetch had ended; once a fetch fails it mostly waits to try again."""
    broker = start_broker(tmp_path / "broker")
    place = await Place.create(broker.bootstrap, tmp_path)
    member = place.member()
    await place.produce(1)
    async with member.running():
        await member.takes(1)
        broker.kill()
        await until_fetches_fail(caplog)
        stopping = asyncio.ensure_future(member.app.stop())
        await asyncio.wait_for(asyncio.shield(stopping), 15.0)


async def until_fetches_fail(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(20.0):
        while True:
            if "Failed fetch messages" in caplog.text:
                return
            await asyncio.sleep(0.01)
