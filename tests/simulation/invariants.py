"""What must hold of every run, read off the log and the outside (reliability: invariants). Each finding is one line."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from noetl_stream.core.counts import count_of
from noetl_stream.core.decide import decide
from noetl_stream.core.events import (
    BlockCancelRequested,
    BlockCompleted,
    BlockId,
    BlockLost,
    BlockOffered,
    BlockRetryRequested,
    ChildEnded,
    Decision,
    Event,
    ExecutionEnded,
    ExecutionQuarantined,
)
from noetl_stream.core.execution import Execution
from noetl_stream.core.partition import Folded, Partition, evolve
from noetl_stream.core.plan import Loop
from noetl_stream.core.snapshot import state_hash
from noetl_stream.core.values import Ref, Value, unmarked
from noetl_stream.ids import effect_key
from tests.simulation.finding import chunks, opened
from tests.simulation.orchestrator import Orchestrator
from tests.simulation.reference import Interpreter
from tests.simulation.refolding import from_checkpoint, with_duplicates
from tests.simulation.world import Record, World


@dataclass(slots=True)
class Verified:
    """The log folded from zero, and what was found on the way."""

    state: Partition = field(default_factory=Partition)
    bad: list[str] = field(default_factory=list)
    ends: dict[int, tuple[int, Execution]] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    stopped: set[int] = field(default_factory=set)
    again: Counter[tuple[int, BlockId]] = field(default_factory=Counter)
    completed: Counter[tuple[int, BlockId]] = field(default_factory=Counter)
    hashes: dict[int, str] = field(default_factory=dict)


def check(world: World, people: Sequence[Orchestrator]) -> list[str]:
    """All findings of a run that has come to rest; empty is good."""
    found = fold(world, {p.owner.position for p in people if p.owner is not None})
    laws = (ended, answered, notified, effects, once, stored, salvaged, as_expected)
    bad = [*world.broken, *found.bad, *(line for law in laws for line in law(world, found))]
    bad += [
        f"completed twice: {key}" for key, times in found.completed.items() if times > 1 + found.again[key]
    ]
    bad += [f"{p.name} differs from the log" for p in people if not _agrees(p, found)]
    whole = state_hash(found.state)
    return [*bad, *from_checkpoint(world, whole), *with_duplicates(world, whole)]


def fold(world: World, positions: set[int]) -> Verified:
    """Fold everything, decide again every decision where its maker stood, look at each machine after each record."""
    found, made = Verified(), _by_after(world.log)
    for offset, record in enumerate(world.log):
        resent = [*_resent(found.state, record)]
        try:
            folded = evolve(found.state, record.machine, record.event, offset)
            found.bad += resent if folded.verdict == "accepted" else []
            _record(found, offset, record, folded, world)
        except Exception as fault:
            found.bad.append(f"fold raises at {offset}: {fault}")
            return found
        if offset + 1 in positions:
            found.hashes[offset + 1] = state_hash(found.state)
        for machine, decision in made.pop(offset, {}).items():
            if not _same_again(world, found.state, machine, decision):
                found.bad.append(f"decided again differs: {machine} after {offset}")
    return found


def _by_after(log: Sequence[Record]) -> dict[int, dict[int, Decision]]:
    made: defaultdict[int, dict[int, Decision]] = defaultdict(dict)
    for record in log:
        if isinstance(record.event, Decision):
            made[record.event.after][record.machine] = record.event
    return made


def _same_again(world: World, state: Partition, machine: int, decision: Decision) -> bool:
    execution = state.machines.get(machine)
    if execution is None:
        return False
    return decide(world.plan_of(execution.request), execution, decision.at) == decision.moves


def _record(found: Verified, offset: int, record: Record, folded: Folded, world: World) -> None:
    event, machine = record.event, folded.machine
    if isinstance(event, ExecutionQuarantined):
        found.bad.append(f"quarantined: {event.reason}")
    if machine is None or folded.verdict != "accepted":
        return
    found.completed.update(
        (record.machine, fact.block) for fact in folded.counted if isinstance(fact, BlockCompleted)
    )
    if isinstance(event, BlockCancelRequested):
        found.stopped.add(machine.id)
    if isinstance(event, BlockRetryRequested):
        found.again[machine.id, event.block] += 1
    for move in folded.moves:
        if isinstance(move, BlockLost):
            found.lost.add(machine.id)
            found.bad += _hasty(move, machine.id, event, world)
    if machine.cancelled is not None:
        found.cancelled.add(machine.id)
    if any(isinstance(move, ExecutionEnded) for move in folded.moves):
        _end(found, offset, machine)
    found.bad += _over_limit(machine, world)


def _resent(state: Partition, record: Record) -> Iterator[str]:
    """The net under lost offers must never be needed: nothing here loses one for good."""
    machine = state.machines.get(record.machine)
    for move in record.event.moves if isinstance(record.event, Decision) and machine is not None else ():
        block = (
            machine.blocks.get(move.block) if machine is not None and isinstance(move, BlockOffered) else None
        )
        if block is not None and block.status == "offered":
            yield f"an offer was lost: {record.machine} {move}"


def _hasty(move: BlockLost, machine: int, event: Event, world: World) -> Iterator[str]:
    """A block is lost only after the deadline that its claim records."""
    effect = effect_key(f"{machine}/{move.block}", "tool", 0)
    until = world.outside.claims[f"{effect}/{move.segment}"][1]
    if isinstance(event, Decision) and event.at < until:
        yield f"lost before its deadline: {machine} {move.block}"


def _end(found: Verified, offset: int, machine: Execution) -> None:
    if machine.id in found.ends:
        found.bad.append(f"second terminal event: {machine.id}")
    found.ends[machine.id] = (offset, machine)
    if machine.id in found.cancelled and _status(machine) != "CANCELLED":
        found.bad.append(f"cancelled, yet {_status(machine)}: {machine.id}")


def _status(machine: Execution) -> str:
    return machine.ended.status if machine.ended is not None else "RUNNING"


def _over_limit(machine: Execution, world: World) -> Iterator[str]:
    plan, open_ = world.plan_of(machine.request), Counter((b.step, b.epoch) for b in machine.blocks)
    for name, run in machine.runs.items():
        loop = plan.steps[name].loop
        if run.open - run.probing > _most(loop):
            yield f"over max_in_flight: {machine.id} {name}"
        if loop is not None and run.probing + len(run.batches) > max(loop.limit, 1):
            yield f"over its frames: {machine.id} {name}"
        if run.open != open_[name, run.epoch]:
            yield f"miscounted blocks: {machine.id} {name}"


def _most(loop: Loop | None) -> int:
    """The iterations that may be in flight. In sequence those of a bundle are, though but one of them runs."""
    if loop is None:
        return 1
    return max(
        loop.limit * count_of(loop.row_concurrency, {}), 1 if loop.parallel else count_of(loop.bundle, {})
    )


def _agrees(person: Orchestrator, found: Verified) -> bool:
    owner = person.owner
    return owner is None or state_hash(owner.state) == found.hashes.get(owner.position)


def ended(world: World, found: Verified) -> Iterator[str]:
    for machine in found.state.machines.values():
        yield f"never ended: {machine.id} ({machine.request.path})"
    if not world.blocks.drained:
        yield "offers were never acknowledged"


def answered(world: World, found: Verified) -> Iterator[str]:
    """Whoever asked was told, and the same thing each time."""
    for number, (_, machine) in found.ends.items():
        if machine.request.reply_to is not None and {*world.outside.replies[number]} != {_status(machine)}:
            yield f"replies {world.outside.replies[number]} to {_status(machine)}: {number}"


def notified(world: World, found: Verified) -> Iterator[str]:
    told: defaultdict[int, set[str]] = defaultdict(set)
    for record in world.log:
        if isinstance(record.event, ChildEnded) and record.event.status != "STARTED":
            told[record.event.child].add(record.event.status)
    for number, (_, machine) in found.ends.items():
        if machine.request.parent is not None and told[number] != {_status(machine)}:
            yield f"its parent was told {told[number]}, not {_status(machine)}: {number}"


def effects(world: World, found: Verified) -> Iterator[str]:
    for key in found.completed:
        if len(world.outside.effects[key]) != 1:
            yield f"applied {len(world.outside.effects[key])} times: {key}"


def once(world: World, found: Verified) -> Iterator[str]:
    """What may happen once happened once, whoever was killed in the middle of it."""
    for effect, times in world.outside.once.items():
        if times > 1:
            yield f"an effect that may happen once happened {times} times: {effect}"


def stored(world: World, found: Verified) -> Iterator[str]:
    """I6: the store has what results refer to."""
    for number, (_, machine) in found.ends.items():
        for step, result in machine.results.items():
            chunked = isinstance(result, Ref) and result.format == "chunks"
            if chunked and len(chunks(world.outside, result)) != result.rows:
                yield f"a reference without all of its chunks: {number} {step}"
            try:
                opened(world.outside, result)
            except KeyError as missing:
                yield f"a reference without its object: {number} {step} {missing}"


def salvaged(world: World, found: Verified) -> Iterator[str]:
    """A playbook that has a step for failures ran it before it failed, unless it ran out of time."""
    for number, (_, machine) in found.ends.items():
        plan, end = world.plan_of(machine.request), machine.ended
        if plan.on_failure is None or end is None or end.status != "FAILED" or end.error is None:
            continue
        if end.error.kind != "timeout" and plan.on_failure not in machine.finished:
            yield f"failed without its step for failures: {number} {end.error}"


def as_expected(world: World, found: Verified) -> Iterator[str]:
    """The reference interpreter comes to the same end wherever the plan leaves nothing to chance."""
    again = {number for number, _ in found.again}
    for number, (_, machine) in found.ends.items():
        request, status = machine.request, _status(machine)
        wanted = Interpreter(world.plans, request.path, (request.payload or {}).get("x", 0)).run()
        if status == "CANCELLED" or request.deadline is not None or wanted.timed:
            continue
        if number in found.lost or number in found.stopped:
            continue
        if status != wanted.status:
            yield f"{status}, expected {wanted.status}: {number} {machine.failure}"
        elif number in again:
            continue  # who begins anew has no notes of before, and tells so in its result
        elif wanted.certain and not _same_results(world, machine, wanted.results):
            yield f"results differ: {number} {_difference(world, machine, wanted.results)}"
        elif wanted.certain and machine.ctx != wanted.ctx:
            yield f"ctx differs: {number} {machine.ctx} from {wanted.ctx}"
        elif machine.ended is not None and not _ends_with(world, machine):
            yield f"its result is not its final step's: {number} {machine.ended.result}"


def _ends_with(world: World, machine: Execution) -> bool:
    final, end = world.plan_of(machine.request).final, machine.ended
    if (
        end is None
        or end.status != "COMPLETED"
        or machine.request.return_step
        or final not in machine.results
    ):
        return True
    return bool(end.result == unmarked(machine.results[final]))


def _same_results(world: World, machine: Execution, wanted: dict[str, Value]) -> bool:
    return not _differing(world, machine, wanted)


def _difference(world: World, machine: Execution, wanted: dict[str, Value]) -> str:
    return str(_differing(world, machine, wanted))[:300]


def _differing(world: World, machine: Execution, wanted: dict[str, Value]) -> dict[str, tuple[Value, Value]]:
    """The steps whose results are not as wanted: what came, what should have."""
    plan, found = world.plan_of(machine.request), dict[str, tuple[Value, Value]]()
    for name in sorted({*machine.results, *wanted}):
        came, should = unmarked(opened(world.outside, machine.results.get(name))), wanted.get(name)
        loop = plan.steps[name].loop
        if loop is not None and loop.cursor is not None:
            came, should = _in_any_order(came), _in_any_order(should)
        if came != should:
            found[name] = came, should
    return found


def _in_any_order(result: Value) -> Value:
    """A cursor's rows come in the order of its claims; which of them an iteration that fails had is chance, too."""
    if result is None or result["stats"]["failed"]:
        return result and result["stats"]
    return sorted(({**row, "by": None} for row in result["results"]), key=lambda row: str(row["item"]))
