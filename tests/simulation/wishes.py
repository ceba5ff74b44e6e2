"""Somebody who now and then wants one iteration to stop, or to run again, by what an owner knew of it: at the worst moments."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from noetl_stream.core.events import BlockCancelRequested, BlockId, BlockRetryRequested, BlockWish
from noetl_stream.core.execution import Execution
from noetl_stream.core.iterations import attempt_of
from noetl_stream.core.run import Run
from tests.simulation.orchestrator import Orchestrator
from tests.simulation.world import World

OFTEN = 0.04
"""How likely a wish is at each step of a run."""


class Wisher:
    """Draws from a generator of its own, so that runs without wishes are what they were. `force` runs successes again."""

    def __init__(self, seed: int, *, stops: bool = True, force: bool = True) -> None:
        self._rng, self._stops, self._force = Random(f"wishes {seed}"), stops, force

    def turn(self, world: World, owners: Sequence[Orchestrator]) -> None:
        """Perhaps a wish, which meets the same fates as any append."""
        if self._rng.random() >= OFTEN:
            return
        known = [
            (machine, name, run)
            for owner in owners
            if owner.owner is not None
            for machine in owner.owner.state.machines.values()
            for name, run in machine.runs.items()
        ]
        if known:
            machine, name, run = self._rng.choice(known)
            world.append(machine.id, self._wish(machine, name, run, world.now), "wisher")

    def _wish(self, machine: Execution, name: str, run: Run, now: float) -> BlockWish:
        key = BlockId(name, run.epoch, self._rng.randrange(-1, max(run.count, 1)))
        attempt = attempt_of(machine, run, key)
        if self._stops and self._rng.random() < 0.4:
            return BlockCancelRequested(block=key, attempt=attempt, time=now)
        force = self._force and self._rng.random() < 0.5
        return BlockRetryRequested(block=key, attempt=attempt + 1, time=now, force=force)
