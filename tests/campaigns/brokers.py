"""Kills the embedded broker in mid-write."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from noetl_stream.broker.launch import BrokerHandle, start_broker
from tests.campaigns.report import Report
from tests.campaigns.under_load import under_load


@dataclass(kw_only=True)
class Victim:
    """A broker on one folder and one port."""

    folder: Path
    broker: BrokerHandle

    async def replace(self) -> None:
        """Kill it and start it on what it left."""
        port = int(self.broker.bootstrap.rpartition(":")[2])
        await asyncio.to_thread(self.broker.kill)
        self.broker = await asyncio.to_thread(start_broker, self.folder, port=port, timeout=30.0)


async def against_broker(folder: Path, report: Report) -> None:
    victim = Victim(folder=folder / "broker", broker=start_broker(folder / "broker"))
    try:
        await under_load(victim.broker.bootstrap, folder / "lane", report, lambda *_: victim.replace())
    finally:
        victim.broker.stop()
