"""Brokers struck, again and again, under a writer that notes what it was promised, and under the engine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from noetl_stream.adapters.admin import ensure_topics
from noetl_stream.wire.topics import Topic
from tests.campaigns.lane import Lane, lane
from tests.campaigns.report import Report
from tests.campaigns.writer import PARTITIONS, Writer

TOPIC = "written"
MOST_ACKNOWLEDGED = 2_000
MOST_RECORDS = 20
"""A broker is struck up to so many acknowledged records, and records of the event log, after the last strike was over."""

Strike: TypeAlias = Callable[[Writer, Lane, random.Random], Awaitable[None]]
"""Strikes a broker, and returns once all are back."""


async def under_load(bootstrap: str, folder: Path, report: Report, strike: Strike) -> None:
    """Strike as often as `report` wants, then hold the log against what was acknowledged."""
    report.writer = writer = Writer(bootstrap=bootstrap, topic=TOPIC)
    await ensure_topics(bootstrap, [Topic(name=TOPIC, partitions=PARTITIONS, replication=None)])
    async with lane(bootstrap, folder) as running:
        with report.joined_by(running):
            await _strikes(writer, running, report, strike)
        report.violations += await writer.violations(running.load.client.platform.reader)


async def _strikes(writer: Writer, running: Lane, report: Report, strike: Strike) -> None:
    chance = random.Random(report.seed)
    writing = asyncio.create_task(writer.write(running.stop))
    try:
        await running.at_work("orchestrator")
        await running.at_work("worker")
        for _ in range(report.goal):
            await running.grow(chance.randrange(1, MOST_RECORDS))
            await writer.until_acknowledged(chance.randrange(1, MOST_ACKNOWLEDGED))
            await strike(writer, running, chance)
            report.killed()
        await running.drain()
        await writing
    finally:
        writing.cancel()
