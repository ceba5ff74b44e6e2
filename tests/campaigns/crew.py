"""The processes of one installation under a supervisor: one that ends by itself is started again, and counted."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.integration.processes import Roles, kill

ROLES = ("intake", "orchestrator", "worker")


@dataclass(kw_only=True)
class Crew:
    """One process a role. `fallen` says which ended without being killed, and how."""

    started: Roles
    running: dict[str, Process] = field(default_factory=dict)
    fallen: list[str] = field(default_factory=list)

    async def keep(self, role: str) -> None:
        """Run a role for ever."""
        while True:
            process = self.running[role] = await self.started.begin(role)
            code = await process.wait()
            if self.running.get(role) is process:
                self.fallen.append(f"{role} ended with {code}")

    async def kill(self, role: str) -> None:
        """At once; `keep` starts the next."""
        await kill(self.running.pop(role))


@asynccontextmanager
async def crew(started: Roles) -> AsyncIterator[Crew]:
    """All roles, kept until the block ends."""
    found = Crew(started=started)
    async with asyncio.TaskGroup() as group:
        keepers = [group.create_task(found.keep(role)) for role in ROLES]
        try:
            yield found
        finally:
            for keeper in keepers:
                keeper.cancel()
