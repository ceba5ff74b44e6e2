"""A partition that this process owns: its owner, its checkpoints, its sleepers, and what is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

from noetl_stream.orchestrator.checkpointing import Rounds
from noetl_stream.orchestrator.owner import Owner
from noetl_stream.orchestrator.sleepers import Sleepers


@dataclass(slots=True, eq=False)
class Seat:
    """`tasks` and `timer` end with it; `calm` is set while nothing is unsent; once `lost`, nothing of it may act."""

    partition: int
    owner: Owner
    rounds: Rounds
    sleepers: Sleepers
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.TimerHandle | None = None
    lost: bool = False

    def spawn(self, work: Awaitable[None]) -> None:
        """Something that goes on by itself for as long as the partition is held."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def leave(self) -> None:
        """The partition was revoked: forget its state, its timers, what was on its way."""
        self.lost = True
        self.calm.set()
        if self.timer is not None:
            self.timer.cancel()
        for task in self.tasks:
            task.cancel()
