"""One installation with load on it, whose processes may be killed at any record of its log."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from noetl_stream.settings import Settings
from tests.campaigns.crew import Crew, crew
from tests.campaigns.load import ERRAND, Load
from tests.integration.client import connected
from tests.integration.processes import COMMAND, roles

SOON = 60.0
"""Seconds in which a killed process must be replaced and at work, all that is open must end, or records be acknowledged."""
MOST_RECORDS = 40
"""A victim dies up to so many records after its first sign of life: in its restore, or some executions later."""


@dataclass(kw_only=True)
class Lane:
    """`load` on one installation run by `crew`. `stop` ends the load."""

    load: Load
    crew: Crew
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    seen: Counter[str] = field(default_factory=Counter)
    """The signs of life of each role up to its last death."""

    async def strike(self, role: str, chance: random.Random) -> None:
        """Kill a role's process once it is at work, a random number of records later."""
        await self.at_work(role)
        await self.grow(chance.randrange(MOST_RECORDS))
        await self.crew.kill(role)
        self.seen[role] = self.signs(role)

    async def grow(self, count: int) -> None:
        """Returns when the event log has so many more records."""
        goal = self.load.records + count
        await self.soon(lambda: self.load.records >= goal, f"fewer than {count} more records")

    async def at_work(self, role: str) -> None:
        """Returns when the newest process of a role has written something."""
        await self.soon(lambda: self.signs(role) > self.seen[role], f"no sign of life from a new {role}")

    async def drain(self) -> None:
        """Ask for nothing more, and wait until all that is open has ended."""
        self.stop.set()
        await self.load.tell()
        await self.soon(lambda: self.load.open == 0, "executions that never end")

    async def soon(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Wait for it. Raises Stuck if it does not come."""
        try:
            async with asyncio.timeout(SOON):
                await self.load.until(condition)
        except TimeoutError:
            raise Stuck(
                f"{otherwise} in {SOON:g} s; {self.load.open} open, read {self.crew.started.logs}"
            ) from None

    def signs(self, role: str) -> int:
        """What only a process of this role writes: fences, or outcomes."""
        return self.load.fences if role == "orchestrator" else self.load.outcomes


class Stuck(Exception):
    """Something that must happen soon did not."""


@asynccontextmanager
async def lane(bootstrap: str, folder: Path) -> AsyncIterator[Lane]:
    """An installation of its own on a broker, all its roles in processes, with load on it."""
    settings = Settings(bootstrap=bootstrap, data=folder, prefix=f"kills-{uuid4().hex[:8]}.", partitions=2)
    async with connected(settings) as client, roles(COMMAND, settings) as started, crew(started) as running:
        await client.register(ERRAND)
        found = Lane(load=Load(client=client), crew=running)
        async with found.load.following():
            asking = asyncio.create_task(found.load.submit(found.stop))
            try:
                yield found
            finally:
                asking.cancel()
