"""Rules of the protocol broken on purpose, one at a time. The simulator must notice each: else it would miss the fault too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from noetl_stream.core import block, done, machine, partition
from noetl_stream.core.events import Decision, Event
from noetl_stream.core.messages import Offer
from noetl_stream.core.outbox import outbox
from noetl_stream.core.partition import Folded, evolve
from noetl_stream.core.snapshot import dump, load
from noetl_stream.ids import effect_key
from noetl_stream.orchestrator import restore
from noetl_stream.orchestrator.owner import Append, Owner
from tests.simulation.checkpoints import Shelf
from tests.simulation.explore import Cast
from tests.simulation.orchestrator import Orchestrator
from tests.simulation.worker import Ack, Key, Worker


@contextmanager
def swapped(owner: Any, name: str, value: object) -> Iterator[None]:
    """An attribute of a module or class replaced for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


AS_IT_IS = Cast()


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is broken: in whom, or by which swap."""

    name: str
    cast: Cast = AS_IT_IS
    swap: Callable[[], AbstractContextManager[None]] = nullcontext


class HastyOwner(Owner):
    """Commits its position, whatever is still unsent."""

    @property
    def committable(self) -> int:
        return self.position


class _Foreseeing(Owner):
    """Can tell what a record would make it send before the log has judged it."""

    def foresee(self, append: Append) -> None:
        state = load(dump(self.state))
        folded = evolve(state, append.machine, append.event, self.position)
        assert isinstance(append.event, Decision)
        self._hold(self.position, outbox(self._plan_of(folded), folded, append.event.at))

    def fold(
        self, offset: int, machine: int, event: Event, at: float, *, unsent: bool = True
    ) -> Folded | None:
        mine = isinstance(event, Decision) and event.fence == self.fence
        return super().fold(offset, machine, event, at, unsent=unsent and not mine)


class EagerOwner(_Foreseeing):
    """Sends what a decision entails before it stands in the log."""

    def _decide(self, machine: int, now: float) -> Append | None:
        append = super()._decide(machine, now)
        if append is not None:
            self.foresee(append)
        return append


class TrustingOwner(_Foreseeing):
    """Sends what the broker acknowledged, whether or not the fold accepts it."""

    def landed(self, append: Append, offset: int, at: float) -> None:
        if isinstance(append.event, Decision):
            self.foresee(append)
        super().landed(append, offset, at)


class CountingOwner(Owner):
    """Names its decisions by a count of its own."""

    count = 0

    def _decide(self, machine: int, now: float) -> Append | None:
        append = super()._decide(machine, now)
        if append is None or not isinstance(append.event, Decision):
            return append
        self.count += 1
        return Append(machine, replace(append.event, after=self.count))


class ForgetfulOwner(Owner):
    """Decides anew what it does not know the fate of."""

    def fate_unknown(self, append: Append) -> None:
        if self._in_flight.get(append.machine) is append:
            del self._in_flight[append.machine]
            self._dirty[append.machine] = None


class ImpatientOwner(Owner):
    """Has any number of decisions on a machine in flight."""

    def appends(self, now: float) -> Iterator[Append]:
        for append in super().appends(now):
            self._in_flight.pop(append.machine, None)
            yield append


class StubbornOrchestrator(Orchestrator):
    """Goes on under its old fence when a newer one was folded."""

    def _superseded(self) -> None:
        return


class SharedShelf(Shelf):
    """Checkpoints without a fence."""

    def key(self, fence: int) -> int:
        return 0


class CarelessWorker(Worker):
    """Acknowledges out of order."""

    def prefix(self, partition: int) -> int:
        return max(self.ended[partition]) + 1


class DismissiveWorker(Worker):
    """Acknowledges an offer seen again at once, though its first run may not end."""

    def join(self, key: Key, ack: Ack) -> None:
        self.acknowledge(ack)


class RekeyingWorker(Worker):
    """Uses another idempotency key for every attempt."""

    def effect(self, offer: Offer) -> str:
        return effect_key(f"{offer.execution}/{offer.block}", "tool", offer.attempt)


def _owned_by(kind: type[Owner]) -> Callable[[], AbstractContextManager[None]]:
    return lambda: swapped(restore, "Owner", kind)


def _segments_ignored() -> AbstractContextManager[None]:
    return swapped(block, "_same_life", lambda found, event: event.attempt == found.attempt)


MUTATIONS = (
    Mutation("no dedupe of decisions", swap=lambda: swapped(partition, "repeated", lambda *_: False)),
    Mutation("no dedupe of requests", swap=lambda: swapped(done.DoneSet, "find", lambda *_: None)),
    Mutation("no fence", swap=lambda: swapped(partition, "fenced", lambda *_: False)),
    Mutation(
        "late facts count for nothing", swap=lambda: swapped(machine.Machine, "overtaken", lambda *_: False)
    ),
    Mutation("an early cancel is dropped", swap=lambda: swapped(partition, "_precancel", lambda *_: "stale")),
    Mutation("the segment is forgotten", swap=_segments_ignored),
    Mutation("acknowledge before send", swap=_owned_by(HastyOwner)),
    Mutation("offer before decision", swap=_owned_by(EagerOwner)),
    Mutation("send what was acknowledged", swap=_owned_by(TrustingOwner)),
    Mutation("ids from a count", swap=_owned_by(CountingOwner)),
    Mutation("decide anew after unknown fate", swap=_owned_by(ForgetfulOwner)),
    Mutation("two decisions in flight", swap=_owned_by(ImpatientOwner)),
    Mutation("a newer fence is ignored", Cast(orchestrator=StubbornOrchestrator)),
    Mutation("checkpoints without a fence", Cast(shelf=SharedShelf)),
    Mutation("acknowledge out of order", Cast(worker=CarelessWorker)),
    Mutation("an offer seen again is dropped", Cast(worker=DismissiveWorker)),
    Mutation("an effect key per attempt", Cast(worker=RekeyingWorker)),
)
