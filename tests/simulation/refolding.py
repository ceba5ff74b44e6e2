"""Laws about the fold alone: whoever folds a log, from a checkpoint or with repetitions in it, comes to the same state."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from noetl_stream.core.events import BlockWish, PartitionTaken
from noetl_stream.core.partition import Partition, evolve
from noetl_stream.core.snapshot import state_hash
from tests.simulation.checkpoints import Base
from tests.simulation.world import Record, World


def from_checkpoint(world: World, whole: str) -> Iterator[str]:
    """I4: what a restore would load now, and the tail, come to the same as folding from zero."""
    base = Base.of(world.shelf.saved())
    for offset in range(base.start, len(world.log)):
        record = world.log[offset]
        if base.skips(offset, record.machine):
            base.skip(record.event)
        else:
            evolve(base.state, record.machine, record.event, offset)
    if state_hash(base.state) != whole:
        yield "checkpoint and tail differ from zero"


def from_zero(world: World) -> str:
    """The hash of the state that the log holds now."""
    state = Partition()
    for offset, record in enumerate(world.log):
        evolve(state, record.machine, record.event, offset)
    return state_hash(state)


def with_duplicates(world: World, whole: str) -> Iterator[str]:
    """I3: a log in which records come again folds to the same state. Fences do not: each is an event of its own. Nor does a
    wish about an iteration that was refused: whoever asked was told so, and may ask again."""
    rng, state, seen = Random(len(world.log)), Partition(), list[Record]()
    for offset, record in enumerate(world.log):
        verdict = evolve(state, record.machine, record.event, offset).verdict
        refused = verdict != "accepted" and isinstance(record.event, BlockWish)
        if not (refused or isinstance(record.event, PartitionTaken)):
            seen.append(record)
        if seen and rng.random() < 0.3:
            again = rng.choice(seen)
            if evolve(state, again.machine, again.event, offset).verdict == "accepted":
                yield f"a repeated record is accepted: at {offset} {again.event}"
    if state_hash(state) != whole:
        yield "repeated records change the state"
