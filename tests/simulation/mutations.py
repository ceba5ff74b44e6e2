"""Rules of the protocol broken on purpose, one at a time. The simulator must notice each: else it would miss the fault too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from noetl_stream.core import block, decide, done, facts, finishing, machine, outbox, partition, routing, run
from noetl_stream.core.events import BlockContested, Decision, Event, LoopClosed, Move
from noetl_stream.core.execution import Execution
from noetl_stream.core.messages import Offer
from noetl_stream.core.partition import Folded, evolve
from noetl_stream.core.plan import Plan
from noetl_stream.core.snapshot import dump, load
from noetl_stream.core.values import Error, Ref, Value
from noetl_stream.ids import effect_key
from noetl_stream.orchestrator import checkpointing, restore
from noetl_stream.orchestrator.owner import Append, Owner
from tests.simulation.checkpoints import Shelf
from tests.simulation.explore import Cast
from tests.simulation.orchestrator import Orchestrator
from tests.simulation.worker import Ack, Key, Run, Worker


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
    """What is broken: in whom, or by which swap; `once` where plans have effects that may happen once. From the seed `first` on it is found soon; elsewhere it may take longer."""

    name: str
    cast: Cast = AS_IT_IS
    first: int = 0
    once: bool = False
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
        self._hold(self.position, outbox.outbox(self._plan_of(folded), folded, append.event.at))

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


class ReleasingWorker(Worker):
    """Leases a cursor's rows under a key of every run's own."""

    def lease(self, run: Run) -> str:
        return run.name


class GreedyWorker(Worker):
    """Claims an effect for itself alone."""

    def once(self, run: Run) -> str:
        return f"{super().once(run)}/{run.name}"


class ImpatientWorker(Worker):
    """Finding an effect claimed, gives up on whoever claimed it."""

    def contested(self, run: Run, until: float) -> BlockContested:
        return super().contested(run, self.world.now)


def _counted_twice(of: run.Run, items: list[Value] | Ref, total: int) -> None:
    """Each probe's rows are taken in as if two probes had brought them."""
    _AS_PROBED(of, items, total)
    if total:
        of.grown(items, total)


def _forgotten_early(of: run.Run, index: int) -> None:
    """A batch is gone as soon as one of its iterations has ended."""
    of.batches = tuple(b for b in of.batches if not b.start <= index < b.start + b.count)


def _never_dry(of: run.Run, items: list[Value] | Ref, total: int) -> None:
    """A probe that found nothing says nothing."""
    _AS_PROBED(of, items, total)
    of.dry, of.total = False, None


def _judged_anew(plan: Plan, draft: Execution, name: str, of: run.Run, now: float) -> tuple[Move, ...]:
    """A loop that has ended is asked again whether it goes on, once a worker has concluded its ending."""
    if of.grows and of.routed is not None:
        return (LoopClosed(step=name, epoch=of.epoch),)
    return _AS_FINISHED(plan, draft, name, of, now)


def _no_cycle(plan: Plan, execution: Execution, join: str) -> bool:
    """Who has been at the join before is not expected again."""
    live = routing.waiting(plan, execution).union(execution.runs)
    return any(plan.upstream[join] & (plan.ahead[s] | {s}) - {*execution.finished} for s in live if s != join)


def _met_again(plan: Plan, draft: Execution, failure: Error) -> Move:
    """The step for failures runs again when it fails itself."""
    return _AS_FAILED(plan, replace(draft, met=None), failure)


_AS_PROBED, _AS_FINISHED, _AS_FAILED = facts._grow, finishing.finish, decide._fail


def _owned_by(kind: type[Owner]) -> Callable[[], AbstractContextManager[None]]:
    return lambda: swapped(restore, "Owner", kind)


def _segments_ignored() -> AbstractContextManager[None]:
    return swapped(block, "_same_life", lambda found, event: event.attempt == found.attempt)


MUTATIONS = (
    Mutation("no dedupe of decisions", swap=lambda: swapped(partition, "repeated", lambda *_: False)),
    Mutation("no dedupe of requests", swap=lambda: swapped(done.DoneSet, "find", lambda *_: None)),
    Mutation("no fence", first=131, swap=lambda: swapped(partition, "fenced", lambda *_: False)),
    Mutation(
        "late facts count for nothing",
        first=190,
        swap=lambda: swapped(machine.Machine, "overtaken", lambda *_: False),
    ),
    Mutation(
        "an early cancel is dropped",
        first=27,
        swap=lambda: swapped(partition, "_precancel", lambda *_: "stale"),
    ),
    Mutation("the segment is forgotten", swap=_segments_ignored),
    Mutation("acknowledge before send", swap=_owned_by(HastyOwner)),
    Mutation("offer before decision", swap=_owned_by(EagerOwner)),
    Mutation("send what was acknowledged", swap=_owned_by(TrustingOwner)),
    Mutation("ids from a count", swap=_owned_by(CountingOwner)),
    Mutation("decide anew after unknown fate", swap=_owned_by(ForgetfulOwner)),
    Mutation("two decisions in flight", swap=_owned_by(ImpatientOwner)),
    Mutation("a newer fence is ignored", Cast(orchestrator=StubbornOrchestrator), first=20),
    Mutation("checkpoints without a fence", Cast(shelf=SharedShelf)),
    Mutation("acknowledge out of order", Cast(worker=CarelessWorker), first=35),
    Mutation("an offer seen again is dropped", Cast(worker=DismissiveWorker)),
    Mutation("an effect key per attempt", Cast(worker=RekeyingWorker)),
    Mutation(
        "a renewed lease is taken away", first=192, swap=lambda: swapped(block, "_leased", lambda *_: False)
    ),
    Mutation(
        "a checkpoint skips decided machines",
        swap=lambda: swapped(checkpointing, "stamp", lambda machine: machine.latest),
    ),
    Mutation(
        "time of spared records is lost",
        first=187,
        swap=lambda: swapped(restore, "pass_over", lambda *_: None),
    ),
    Mutation(
        "a join waits for no cycle",
        swap=lambda: swapped(routing, "_more_to_come", _no_cycle),
    ),
    Mutation(
        "late tokens open a join again", first=45, swap=lambda: swapped(routing, "_late", lambda *_: False)
    ),
    Mutation("a probe is counted twice", swap=lambda: swapped(facts, "_grow", _counted_twice)),
    Mutation(
        "a batch is forgotten early",
        first=27,
        swap=lambda: swapped(run.Run, "leave_batch", _forgotten_early),
    ),
    Mutation("a dry probe says nothing", swap=lambda: swapped(facts, "_grow", _never_dry)),
    Mutation("a routed loop is judged anew", first=93, swap=lambda: swapped(decide, "finish", _judged_anew)),
    Mutation("an effect is claimed by the run", Cast(worker=GreedyWorker), once=True),
    Mutation("lost at once", Cast(worker=ImpatientWorker), once=True),
    Mutation("rows leased by the run", Cast(worker=ReleasingWorker), first=131),
    Mutation(
        "step variables are not handed on", first=29, swap=lambda: swapped(outbox, "_of_step", lambda _: {})
    ),
    Mutation("a failure is met again and again", swap=lambda: swapped(decide, "_fail", _met_again)),
)
