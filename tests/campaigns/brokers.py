"""Kills the embedded broker in mid-write: under a writer that notes what it was promised, and under the engine."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

from noetl_stream.adapters.admin import ensure_topics
from noetl_stream.broker.launch import BrokerHandle, start_broker
from noetl_stream.wire.topics import Topic
from tests.campaigns.lane import Lane, Stuck, lane
from tests.campaigns.report import Report
from tests.campaigns.writer import PARTITIONS, Writer

TOPIC = "written"
MOST_ACKNOWLEDGED = 2_000
"""The broker dies up to so many acknowledged records after it has come back."""
MOST_RECORDS = 20
"""And up to so many of the event log."""


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
    report.writer = writer = Writer(bootstrap=victim.broker.bootstrap, topic=TOPIC)
    try:
        await ensure_topics(writer.bootstrap, [Topic(name=TOPIC, partitions=PARTITIONS, replication=1)])
        async with lane(writer.bootstrap, folder / "lane") as running:
            report.lanes.append(running)
            try:
                await _strikes(victim, writer, running, report)
            except Stuck as stuck:
                report.violations.append(str(stuck))
            report.violations += running.load.violations
            report.violations += await writer.violations(running.load.client.platform.reader)
    finally:
        victim.broker.stop()


async def _strikes(victim: Victim, writer: Writer, running: Lane, report: Report) -> None:
    chance = random.Random(report.seed)
    writing = asyncio.create_task(writer.write(running.stop))
    try:
        await running.at_work("orchestrator")
        await running.at_work("worker")
        for _ in range(report.goal):
            await running.grow(chance.randrange(1, MOST_RECORDS))
            await writer.until_acknowledged(chance.randrange(1, MOST_ACKNOWLEDGED))
            await victim.replace()
            report.killed()
        await running.drain()
        await writing
    finally:
        writing.cancel()
