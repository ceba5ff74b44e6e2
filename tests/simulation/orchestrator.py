"""An orchestrator's shell, simulated: it drives the real `Owner`, `Restorer` and `Rounds` against the world. `step` is what happens between two awaits."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any

from noetl_stream.errors import AppendUnknown
from noetl_stream.orchestrator.checkpointing import Rounds
from noetl_stream.orchestrator.owner import Append, Owner, Sending
from noetl_stream.orchestrator.restore import Restored, Restorer
from tests.simulation.ports import Ports
from tests.simulation.post import deliver
from tests.simulation.world import World


class Orchestrator:
    """A crash forgets everything but the name. `owner` is None until a fence stands and the state is restored."""

    def __init__(self, world: World, index: int) -> None:
        self.world, self.index, self.name = world, index, f"O{index}"
        self.skew = 2.0 * index
        ports = Ports(world, self.name)
        self.restorer = Restorer(
            log=ports, reader=ports, checkpoints=world.shelf, plans=ports, topic="events", name=self.name
        )
        self.crash()

    def crash(self) -> None:
        self.generation, self.assigned = -1, False
        self._forget()

    def _forget(self) -> None:
        self.restoring: Coroutine[Any, Any, Restored] | None = None
        self.owner: Owner | None = None
        self.thoughts: Iterator[Append] = iter(())
        self.producing: deque[Append] = deque()
        self.acks: deque[tuple[Append, int | None]] = deque()
        self.unsent: list[Sending] = []
        self.rounds: Rounds | None = None
        self.round: Coroutine[Any, Any, None] | None = None

    @property
    def now(self) -> float:
        """Clocks of two machines differ."""
        return self.world.now - self.skew

    @property
    def halfway(self) -> bool:
        return self.round is not None

    def learn(self) -> None:
        """The group tells this member its assignment."""
        group = self.world.group
        if group.owner != self.index:
            if self.assigned:
                self.world.note(f"{self.name} is revoked")
                self.crash()
        elif self.generation != group.generation:
            self.world.note(f"{self.name} is assigned, generation {group.generation}")
            self.assigned, self.generation = True, group.generation

    def step(self) -> None:
        if not self.assigned:
            return
        if self.owner is None:
            self.restore()
        else:
            self._live()

    def _live(self) -> None:
        """Something that there is to do; thinking, since timers may be due, and committing are always possible."""
        actions = [self.think] * 3 + [self.commit]
        actions += [self.read] * 4 if self._living().position < len(self.world.log) else []
        actions += [self.send] * 3 if self.unsent else []
        actions += [self.produce] * 3 if self.producing else []
        actions += [self.hear] if self.acks else []
        actions += [self.checkpoint] * int(1 + 5 * self.world.faults.checkpoint)
        self.world.rng.choice(actions)()

    def restore(self) -> None:
        """The next await of a restore; one whose fence is of unknown fate is begun again."""
        if self.restoring is None:
            self.restoring = self.restorer.restore(0, self.world.group.committed, self.now)
        try:
            self.restoring.send(None)
        except AppendUnknown:
            self.restoring = None
        except StopIteration as done:
            self._begin(done.value)

    def _begin(self, restored: Restored) -> None:
        owner = restored.owner
        self._forget()
        self.owner, self.unsent = owner, owner.fresh()
        self.rounds = Rounds(0, owner, self.world.shelf, restored.former)
        self.world.note(f"{self.name} is restored to {owner.fence}, sends {len(self.unsent)} again")

    def read(self) -> None:
        """Fold the next record, whatever it is; what was folded from its acknowledgement comes again too."""
        owner = self._living()
        if owner.position == len(self.world.log):
            return
        record = self.world.log[owner.position]
        owner.fold(owner.position, record.machine, record.event, record.time)
        self.unsent += owner.fresh()
        if owner.superseded:
            self._superseded()

    def _superseded(self) -> None:
        """A newer fence than ours: ask the group; either take the partition back or stop."""
        confirmed = self.world.group.confirms(self.index, self.generation)
        self.world.note(f"{self.name} is superseded, {'fences again' if confirmed else 'stops'}")
        if confirmed:
            self._forget()
        else:
            self.crash()

    def think(self) -> None:
        """One append. Facts may be folded between two of one round: the iteration is held across awaits."""
        owner = self._living()
        append = next(self.thoughts, None)
        if append is None:
            self.thoughts = owner.appends(self.now)
            if self.world.rng.random() < 0.5:
                self.thoughts = iter(list(self.thoughts))
            append = next(self.thoughts, None)
        if append is not None:
            self.producing.append(append)

    def produce(self) -> None:
        """Appends leave in the order in which they were asked for; meanwhile other records land."""
        if not self.producing:
            return
        append = self.producing.popleft()
        self.acks.append((append, self.world.append(append.machine, append.event, self.name)))
        if not self.world.chance("slow_ack"):
            self.hear()

    def hear(self) -> None:
        """What became of the oldest append still unheard of."""
        if not self.acks:
            return
        owner, (append, offset) = self._living(), self.acks.popleft()
        if offset is None:
            owner.fate_unknown(append)
        else:
            owner.landed(append, offset, self.world.log[offset].time)
            self.unsent += owner.fresh()

    def send(self) -> None:
        """One message, in any order; it stays until its delivery was heard of."""
        if not self.unsent:
            return
        sending = self.world.rng.choice(self.unsent)
        if deliver(self.world, sending.message, self.name):
            sending.done = True
            self.unsent.remove(sending)

    def commit(self) -> None:
        """May go back: one who lost the partition and got it again unawares commits what it has folded itself."""
        if self.world.group.confirms(self.index, self.generation):
            self.world.group.committed = self._living().committable

    def checkpoint(self) -> None:
        """Begin a round at a moment when all is sent, or go on with it by one write."""
        owner = self._living()
        assert self.rounds is not None
        if self.round is None and owner.idle and self.world.rng.random() < self.world.faults.checkpoint:
            self.round = self.rounds.run()
        if self.round is not None:
            try:
                self.round.send(None)
            except StopIteration:
                self.round = None

    def _living(self) -> Owner:
        assert self.owner is not None, f"{self.name} does not own the partition"
        return self.owner
