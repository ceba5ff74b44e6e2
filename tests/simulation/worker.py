"""A worker, simulated: slots, joined redeliveries, acknowledgement of the contiguous prefix, detached long blocks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from noetl_stream.core.events import BlockClaimed, BlockContested, BlockId, Report
from noetl_stream.core.messages import Offer
from noetl_stream.core.run import is_iteration
from noetl_stream.ids import effect_key
from noetl_stream.worker.bundle import lives_of, stops, together, with_item
from tests.simulation.finding import outcome_of
from tests.simulation.world import World

LEASE = 6.0
DEADLINE = 12.0
"""Seconds that whoever claimed an effect has to report, once another would cause it."""

Key: TypeAlias = tuple[int, BlockId, int, int]


@dataclass(frozen=True, slots=True)
class Ack:
    """A delivered offer: under which assignment, and where."""

    generation: int
    partition: int
    offset: int


@dataclass(slots=True)
class Run:
    """A block in a slot. `acks` are the deliveries to acknowledge at its end; `claims` is what a long block still does first.

    Of iterations that travelled together, `told` were reported. `wants` is the effect that it has yet to claim; `awaited` is until when the outcome of another run is, which has.
    """

    offer: Offer
    name: str
    acks: list[Ack] = field(default_factory=list)
    claims: int = 0
    wants: str | None = None
    awaited: float | None = None
    done: bool = False
    told: int = 0


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
        works = is_iteration(offer.block.iteration)
        run = Run(offer, f"{self.name}.{self.world.runs}", [ack], 2 if works and script.kind == "long" else 0)
        run.wants = self.once(run) if works and script.once else None
        self.runs[key] = run

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
        elif run.awaited is not None:
            self.report(run)
        elif run.wants is not None:
            self.claim_effect(run)
        elif run.claims:
            self.claim(run)
        elif not run.done:
            self.use_tool(run)
        else:
            self.report(run)

    def claim(self, run: Run) -> None:
        """A claim with a lease, then its offers are acknowledged: a long block holds back no offset."""
        now = self.world.now
        claims = [
            BlockClaimed(
                block=life.block,
                attempt=life.attempt,
                segment=life.segment,
                run=run.name,
                renew_by=now + LEASE,
                time=now,
            )
            for life in lives_of(run.offer)
        ]
        if self.world.append(run.offer.execution, together(claims), self.name) is not None:
            run.claims -= 1
            for ack in run.acks:
                self.acknowledge(ack)

    def claim_effect(self, run: Run) -> None:
        """Create-if-absent. Who does not hear that he has won asks again, and has won."""
        assert run.wants is not None  # or there is nothing to claim
        claims, mine = self.world.outside.claims, (run.name, self.world.now + DEADLINE)
        holder, until = claims.setdefault(run.wants, mine)
        if holder != run.name:
            run.awaited = until
        elif not self.world.chance("lost_ack"):
            run.wants = None

    def once(self, run: Run) -> str:
        """The name of an effect's claim: neither run nor attempt is part of it."""
        return f"{self.effect(run.offer)}/{run.offer.segment}"

    def use_tool(self, run: Run) -> None:
        """The effect, by its key, on a service that honours keys. It takes a while."""
        if self.world.rng.random() < 0.5:
            return
        offer = run.offer
        for outcome in self.found(run):
            life = offer.block._replace(iteration=outcome.block.iteration)
            self.world.outside.apply(offer.execution, life, self.effect(replace(offer, block=life)))
        if self.world.plans[offer.path].steps[offer.block.step].tool.once:
            self.world.outside.once[f"{self.effect(offer)}/{offer.segment}"] += 1
        run.done = True

    def come_to(self, run: Run) -> Report:
        """What the run found. A cursor leases its rows by the block: whoever runs it again gets the same."""
        if run.awaited is not None:
            return self.contested(run, run.awaited)
        return outcome_of(self.world, run.offer, run=run.name, claim=self.lease(run))

    def found(self, run: Run) -> list[Report]:
        """The outcomes of all that an offer brought, as far as the run goes."""
        offer, found = run.offer, list[Report]()
        if offer.count == 1:
            return [self.come_to(run)]
        loop = self.world.plans[offer.path].steps[offer.block.step].loop
        assert loop is not None  # or it would travel alone
        for life in lives_of(offer):
            found.append(outcome_of(self.world, with_item(life, offer), run=run.name, claim=""))
            if stops(loop, found[-1]):
                break
        return found

    def contested(self, run: Run, until: float) -> BlockContested:
        offer = run.offer
        return BlockContested(
            block=offer.block,
            attempt=offer.attempt,
            segment=offer.segment,
            run=run.name,
            task="tool",
            effect=self.effect(offer),
            deadline=until,
            time=self.world.now,
        )

    def lease(self, run: Run) -> str:
        return str(run.offer.block)

    def effect(self, offer: Offer) -> str:
        return effect_key(f"{offer.execution}/{offer.block}", "tool", 0)

    def report(self, run: Run) -> None:
        """At once, or some of it first."""
        left = self.found(run)[run.told :]
        most = self.world.rng.randint(1, len(left)) if len(left) > 1 else 1
        if self.world.append(run.offer.execution, together(left[:most]), self.name) is not None:
            run.told += most
            if most == len(left):
                self.end(run)

    def end(self, run: Run) -> None:
        key = key_of(run.offer)
        del self.runs[key]
        self.finished.add(key)
        for ack in run.acks:
            self.acknowledge(ack)
