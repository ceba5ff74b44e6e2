"""A calm world that a test directs: one plan, two orchestrators, three workers, each told what to do and when."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Self

from noetl_stream.core.events import (
    CancelRequested,
    Decision,
    Event,
    ExecutionEnded,
    Move,
)
from noetl_stream.core.messages import Message, Offer
from noetl_stream.core.partition import Partition, evolve
from noetl_stream.core.plan import Arc, Plan
from tests.simulation.checkpoints import Shelf
from tests.simulation.explore import request, settle
from tests.simulation.faults import CALM, Faults
from tests.simulation.invariants import check
from tests.simulation.orchestrator import Orchestrator
from tests.simulation.post import deliver
from tests.simulation.scripts import Script
from tests.simulation.sketches import Sketch, assemble
from tests.simulation.worker import Worker
from tests.simulation.world import Fate, Record, World

EAGER = Faults(checkpoint=1.0)


def line(*scripts: Script) -> Plan:
    """Steps s0, s1, … one after the other."""
    sketches = [Sketch(f"s{n}", script) for n, script in enumerate(scripts)]
    for before, after in pairwise(sketches):
        before.arcs.append(Arc(target=after.name))
    return assemble("main", "s0", sketches)


class Stage:
    """`x` is the requested execution. Methods that only move things on return the stage, to be chained."""

    def __init__(self, plan: Plan, **others: Plan) -> None:
        plans: Mapping[str, Plan] = {"main": plan, **others}
        self.world = World(0, CALM, plans, Shelf())
        self.one, self.two = Orchestrator(self.world, 0), Orchestrator(self.world, 1)
        self.two.skew = 0.0
        self.workers = [Worker(self.world, index) for index in range(3)]
        self.asked = request("x")
        self.x = self.asked.machine

    def request(self) -> Self:
        self.world.land(Record(self.x, self.asked.event, self.world.now), "client")
        return self

    def cancel(self) -> Self:
        return self.land(CancelRequested(time=self.world.now))

    def land(self, event: Event, machine: int | None = None) -> Self:
        self.world.land(Record(self.x if machine is None else machine, event, self.world.now), "test")
        return self

    def give(self, who: Orchestrator) -> Self:
        """The group gives the partition to an orchestrator and tells it alone: fence, restore."""
        self.world.group.move(who.index)
        who.learn()
        while who.owner is None:
            who.step()
        return self

    def give_to_one(self) -> Self:
        return self.give(self.one)

    def advance_one(self) -> Self:
        return self.advance(self.one)

    def read(self, who: Orchestrator) -> Self:
        """Fold all there is."""
        while who.owner is not None and who.owner.position < len(self.world.log):
            who.read()
        return self

    def decide(self, who: Orchestrator, fate: Fate = "acknowledged") -> Self:
        """One decision is made and appended; what becomes of the append is the test's choice."""
        who.think()
        self.world.fates.append(fate)
        who.produce()
        assert not self.world.fates, "there was nothing to decide"
        return self

    def send(self, who: Orchestrator) -> Self:
        while who.unsent:
            who.send()
        return self

    def send_last(self, message: Message) -> Self:
        """All that the first owner has to send, this one last."""
        for sending in sorted(self.one.unsent, key=lambda s: s.message is message):
            sending.done = deliver(self.world, sending.message, "test")
        self.one.unsent.clear()
        return self

    def advance(self, who: Orchestrator) -> Self:
        """Read, decide and send until the owner waits for others."""
        while True:
            self.read(who)
            who.think()
            if not (who.producing or who.unsent):
                return self
            who.produce()
            self.send(who)

    def work(self, index: int) -> Self:
        """A worker takes one offer and runs it to its end."""
        worker = self.workers[index]
        worker.learn()
        worker.poll()
        while worker.runs:
            worker.advance(next(iter(worker.runs.values())))
        return self

    def begin_checkpoint(self, who: Orchestrator) -> Self:
        self.world.faults = EAGER
        who.checkpoint()
        self.world.faults = CALM
        return self

    def checkpoint(self, who: Orchestrator) -> Self:
        """A whole round, or what is left of one."""
        self.begin_checkpoint(who)
        while who.round is not None:
            who.checkpoint()
        return self

    def later(self, seconds: float) -> Self:
        self.world.now += seconds
        return self

    def finish(self) -> list[str]:
        """Calm until nothing moves; then whatever breaks an invariant."""
        settle(self.world, [self.one, self.two, *self.workers], [self.one, self.two])
        return check(self.world, [self.one, self.two])

    # looking

    def state(self) -> Partition:
        state = Partition()
        for offset, record in enumerate(self.world.log):
            evolve(state, record.machine, record.event, offset)
        return state

    def verdicts(self) -> list[str]:
        """The verdicts on all decisions, in order."""
        state, found = Partition(), list[str]()
        for offset, record in enumerate(self.world.log):
            verdict = evolve(state, record.machine, record.event, offset).verdict
            found += [verdict] if isinstance(record.event, Decision) else []
        return found

    def moves(self) -> list[Move]:
        """What accepted decisions did, in order."""
        state, found = Partition(), list[Move]()
        for offset, record in enumerate(self.world.log):
            found += evolve(state, record.machine, record.event, offset).moves
        return found

    def ends(self) -> list[str]:
        return [move.status for move in self.moves() if isinstance(move, ExecutionEnded)]

    def offers(self) -> list[Offer]:
        return [offer for partition in self.world.blocks.offers for offer in partition]
