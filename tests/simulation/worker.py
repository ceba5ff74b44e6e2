"""A worker, simulated: slots, joined redeliveries, acknowledgement of the contiguous prefix, detached long blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from noetl_stream.core.events import BlockClaimed, BlockId, Outcome
from noetl_stream.core.messages import Offer
from noetl_stream.core.run import is_iteration
from noetl_stream.ids import effect_key
from tests.simulation.finding import outcome_of
from tests.simulation.world import World

LEASE = 6.0

Key: TypeAlias = tuple[int, BlockId, int, int]


@dataclass(frozen=True, slots=True)
class Ack:
    """A delivered offer: under which assignment, and where."""

    generation: int
    partition: int
    offset: int


@dataclass(slots=True)
class Run:
    """A block in a slot. `acks` are the deliveries to acknowledge at its end; `claims` is what a long block still does first."""

    offer: Offer
    name: str
    acks: list[Ack] = field(default_factory=list)
    claims: int = 0
    done: bool = False


def key_of(offer: Offer) -> Key:
    return offer.execution, offer.block, offer.attempt, offer.segment


class Worker:
    """A crash forgets everything but the name."""

    SLOTS = 3

    def __init__(self, world: World, index: int) -> None:
        self.world, self.index, self.name = world, index, f"W{index}"
        self.crash()

    def crash(self) -> None:
        self.generation = -1
        self.position: dict[int, int] = {}
        self.ended: dict[int, set[int]] = {}
        self.runs: dict[Key, Run] = {}
        self.finished: set[Key] = set()

    @property
    def halfway(self) -> bool:
        return any(run.done for run in self.runs.values())

    def learn(self) -> None:
        """A new assignment: delivery begins at the committed offsets, earlier deliveries count no more."""
        blocks = self.world.blocks
        if self.generation != blocks.generation:
            self.generation = blocks.generation
            self.position = {
                p: blocks.committed[p] for p, owner in enumerate(blocks.owners) if owner == self.index
            }
            self.ended = {p: set() for p in self.position}

    def step(self) -> None:
        runs = list(self.runs.values())
        if runs and self.world.rng.random() < 0.6:
            self.advance(self.world.rng.choice(runs))
        else:
            self.poll()

    def poll(self) -> None:
        """Take one offer, if a slot is free or none is needed."""
        offers = self.world.blocks.offers
        ready = [p for p, at in self.position.items() if at < len(offers[p])]
        if not ready:
            return
        partition = self.world.rng.choice(ready)
        ack = Ack(self.generation, partition, self.position[partition])
        if self.take(offers[partition][ack.offset], ack):
            self.position[partition] += 1

    def take(self, offer: Offer, ack: Ack) -> bool:
        key = key_of(offer)
        if key in self.finished or offer.execution in self.world.outside.stopped:
            self.acknowledge(ack)
        elif key in self.runs:
            self.join(key, ack)
        elif len(self.runs) < self.SLOTS:
            self.begin(key, offer, ack)
        else:
            return False
        return True

    def join(self, key: Key, ack: Ack) -> None:
        """Seen again while it runs: acknowledged when that run ends, not before."""
        self.runs[key].acks.append(ack)

    def begin(self, key: Key, offer: Offer, ack: Ack) -> None:
        script = self.world.plans[offer.path].steps[offer.block.step].tool
        self.world.runs += 1
        is_long = is_iteration(offer.block.iteration) and script.kind == "long"
        self.runs[key] = Run(offer, f"{self.name}.{self.world.runs}", [ack], 2 if is_long else 0)

    def acknowledge(self, ack: Ack) -> None:
        """Commit the contiguous finished prefix of this assignment."""
        if ack.generation != self.generation:
            return
        self.ended[ack.partition].add(ack.offset)
        upto = self.prefix(ack.partition)
        blocks = self.world.blocks
        if ack.generation == blocks.generation:
            blocks.committed[ack.partition] = max(upto, blocks.committed[ack.partition])

    def prefix(self, partition: int) -> int:
        upto = self.world.blocks.committed[partition]
        while upto in self.ended[partition]:
            upto += 1
        return upto

    def advance(self, run: Run) -> None:
        """The next await of a run: a claim, the tool, the report."""
        if run.offer.execution in self.world.outside.stopped:
            self.end(run)
        elif run.claims:
            self.claim(run)
        elif not run.done:
            self.use_tool(run)
        else:
            self.report(run)

    def claim(self, run: Run) -> None:
        """A claim with a lease, then its offers are acknowledged: a long block holds back no offset."""
        offer, now = run.offer, self.world.now
        event = BlockClaimed(
            block=offer.block,
            attempt=offer.attempt,
            segment=offer.segment,
            run=run.name,
            renew_by=now + LEASE,
            time=now,
        )
        if self.world.append(offer.execution, event, self.name) is not None:
            run.claims -= 1
            for ack in run.acks:
                self.acknowledge(ack)

    def use_tool(self, run: Run) -> None:
        """The effect, by its key, on a service that honours keys. It takes a while."""
        if self.world.rng.random() < 0.5:
            return
        offer = run.offer
        self.world.outside.apply(offer.execution, offer.block, self.effect(offer))
        self.come_to(run)
        run.done = True

    def come_to(self, run: Run) -> Outcome:
        """What the run found. A cursor leases its rows by the block: whoever runs it again gets the same."""
        return outcome_of(self.world, run.offer, run=run.name, claim=self.lease(run))

    def lease(self, run: Run) -> str:
        return str(run.offer.block)

    def effect(self, offer: Offer) -> str:
        return effect_key(f"{offer.execution}/{offer.block}", "tool", 0)

    def report(self, run: Run) -> None:
        if self.world.append(run.offer.execution, self.come_to(run), self.name) is not None:
            self.end(run)

    def end(self, run: Run) -> None:
        key = key_of(run.offer)
        del self.runs[key]
        self.finished.add(key)
        for ack in run.acks:
            self.acknowledge(ack)
