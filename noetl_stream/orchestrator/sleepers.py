"""Executions that wait for long leave memory: what stays is an id, the place of a checkpoint, and the next alarm."""

from __future__ import annotations

from collections.abc import Mapping

from noetl_stream.core.snapshot import load
from noetl_stream.orchestrator.checkpointing import Checkpoints
from noetl_stream.orchestrator.owner import Owner


class Sleepers:
    """The sleeping executions of one partition. One is woken before anything that concerns it is folded or decided."""

    def __init__(self, partition: int, owner: Owner, store: Checkpoints) -> None:
        self._partition, self._owner, self._store = partition, owner, store
        self._places: dict[int, int] = {}

    def lay_down(self, idle: Mapping[int, int]) -> None:
        """Let executions sleep that a round of checkpoints found unchanged; `idle` says where each one's stands."""
        for machine, place in idle.items():
            if self._owner.sleep(machine):
                self._places[machine] = place

    async def wake(self, machine: int) -> None:
        """Bring an execution back as it was. Does nothing for one that is awake. Raises InfrastructureError."""
        place = self._places.get(machine)
        if place is None:
            return
        checkpoint = await self._store.read_one(self._partition, place)
        if self._places.pop(machine, None) is not None:
            self._owner.wake(machine, load(checkpoint.body))

    def __len__(self) -> int:
        return len(self._places)
