"""Kills orchestrators and workers: several installations side by side on one broker, since each needs a session's time
to notice a death."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.campaigns.by_hand import own_broker
from tests.campaigns.lane import lane
from tests.campaigns.report import Report


async def against_engine(
    folder: Path, report: Report, roles: Sequence[str], *, lanes: int, bootstrap: str
) -> None:
    """Kill processes of these roles, on the broker that is named or on one of the campaign's own."""
    turns = iter(range(report.goal))
    async with _broker(bootstrap, folder) as address, asyncio.TaskGroup() as group:
        for number in range(lanes):
            chance = random.Random(f"{report.seed}/{number}")
            group.create_task(_one(address, folder / f"lane{number}", report, roles, chance, turns))


async def _one(
    address: str,
    folder: Path,
    report: Report,
    roles: Sequence[str],
    chance: random.Random,
    turns: Iterator[int],
) -> None:
    async with lane(address, folder) as running:
        with report.joined_by(running):
            for _ in turns:
                await running.strike(chance.choice(roles), chance)
                report.killed()
            await running.drain()


@asynccontextmanager
async def _broker(bootstrap: str, folder: Path) -> AsyncIterator[str]:
    if bootstrap:
        yield bootstrap
        return
    with own_broker(folder) as broker:
        yield broker.bootstrap
