"""The state of one execution, and how an accepted event changes it.

`apply` is the only writer. It updates in place a state that its caller owns; `draft` gives one to try things on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from noetl_stream.core import events
from noetl_stream.core.block import Block, move
from noetl_stream.core.events import (
    BlockClaimed,
    BlockCompleted,
    BlockFact,
    BlockFailed,
    BlockId,
    BlockOffered,
    BlockParked,
    CancelRequested,
    ChildEnded,
    ChildRequested,
    ExecutionEnded,
    ExecutionRequested,
    ExecutionStarted,
    Move,
    StepEntered,
    StepFinished,
    Target,
)
from noetl_stream.core.machine import Machine, MachineFact, Verdict
from noetl_stream.core.messages import StoreChunk
from noetl_stream.core.run import Finished, Run, is_iteration, spill
from noetl_stream.core.values import Error, Ref, Value, twin
from noetl_stream.errors import IllegalTransition


@dataclass(frozen=True, slots=True)
class Token:
    """A token waiting to enter a step, and the step that sent it."""

    via: str | None
    args: Value = None


@dataclass(slots=True, kw_only=True)
class Execution(Machine):
    """One machine. What must be known to decide, and nothing of the past beyond that.

    `weights` are the bytes of inline results; `awake` are the blocks that `decide` must act on.
    """

    request: ExecutionRequested
    status: Literal["requested", "running", "ended"] = "requested"
    workload: Mapping[str, Value] = field(default_factory=dict)
    ctx: dict[str, Value] = field(default_factory=dict)
    results: dict[str, Value] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    finished: dict[str, Finished] = field(default_factory=dict)
    tokens: dict[str, tuple[Token, ...]] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    entered: dict[str, int] = field(default_factory=dict)
    blocks: dict[BlockId, Block] = field(default_factory=dict)
    awake: dict[BlockId, None] = field(default_factory=dict)
    failure: Error | None = None
    cancelled: CancelRequested | None = None
    ended: ExecutionEnded | None = None
    seq: int = 0

    def draft(self) -> Execution:
        """A copy on which decisions can be tried. Values are shared; containers that decisions change are not."""
        draft = twin(self)
        draft.runs = {name: run.draft() for name, run in self.runs.items()}
        draft.ctx, draft.results, draft.weights = dict(self.ctx), dict(self.results), dict(self.weights)
        draft.finished, draft.tokens = dict(self.finished), dict(self.tokens)
        draft.epochs, draft.entered = dict(self.epochs), dict(self.entered)
        draft.blocks, draft.awake = dict(self.blocks), dict(self.awake)
        return draft

    @property
    def over(self) -> bool:
        return self.status == "ended"

    def fold(self, event: MachineFact, offset: int) -> tuple[Verdict, tuple[StoreChunk, ...]]:
        if isinstance(event, CancelRequested):
            return cancel(self, event, offset), ()
        return fact(self, event, offset)

    def apply(self, move: Move, at: float) -> tuple[StoreChunk, ...]:
        return tuple(apply(self, move, at))

    def next_due(self) -> float | None:
        """The moment of the earliest timer: a backoff, a sleep, a lease, an offer nobody answered, the deadline."""
        dues = [b.due for b in self.blocks.values() if b.due is not None]
        if self.request.deadline is not None:
            dues.append(self.request.deadline)
        return min(dues, default=None)

    def run_of(self, block: BlockId) -> Run | None:
        run = self.runs.get(block.step)
        return run if run is not None and run.epoch == block.epoch else None


def request(machine: int, event: ExecutionRequested, offset: int) -> Execution:
    """A new execution from its first event."""
    born = Execution(id=machine, request=event, latest=offset, touched=offset)
    if event.deadline is not None:
        born.alarm = event.deadline
    return born


def cancel(execution: Execution, event: CancelRequested, offset: int) -> Verdict:
    if execution.cancelled is not None:
        return "duplicate"
    execution.cancelled = event
    execution.latest = execution.touched = execution.halted = offset
    return "accepted"


def fact(execution: Execution, event: BlockFact, offset: int) -> tuple[Verdict, tuple[StoreChunk, ...]]:
    """Fold what somebody reports of a block. Returns the verdict and what leaves the state for the cache."""
    block, run = execution.blocks.get(event.block), execution.run_of(event.block)
    if block is None or run is None:
        return _verdict_on_gone(execution, event), ()
    after = move(block, event, event.time)
    if after is None:
        return "duplicate" if _is_repetition(block, event) else "stale", ()
    execution.latest = offset
    if not _quiet(run, event):
        execution.touched = offset
    _place(execution, event.block, after)
    return "accepted", tuple(_record(execution, run, event, after))


def _verdict_on_gone(execution: Execution, event: BlockFact) -> Verdict:
    """An outcome for a block that has ended came before; anything else is from another life."""
    epoch = execution.epochs.get(event.block.step, -1)
    return "duplicate" if event.block.epoch <= epoch and not isinstance(event, BlockClaimed) else "stale"


def _is_repetition(block: Block, event: BlockFact) -> bool:
    return (event.attempt, event.segment) < (block.attempt, block.segment) or isinstance(event, ChildEnded)


def _quiet(run: Run, event: BlockFact) -> bool:
    """Facts that matter to nobody but their own loop: the hot ones. All others may change what is decided next."""
    match event:
        case BlockClaimed():
            return True
        case BlockCompleted():
            counts_at_once = bool(event.writes) and not run.parallel
            return (
                run.loop
                and is_iteration(event.block.iteration)
                and not counts_at_once
                and not run.last_open()
            )
        case _:
            return False


def _place(execution: Execution, key: BlockId, block: Block) -> None:
    """Keep a block where it is looked for: in flight, awake if `decide` must act on it, its timer in `alarm`."""
    execution.awake.pop(key, None)
    if block.status in ("completed", "failed"):
        del execution.blocks[key]
        return
    execution.blocks[key] = block
    if block.status in ("calling", "ready"):
        execution.awake[key] = None
    if block.due is not None:
        execution.alarm = block.due if execution.alarm is None else min(execution.alarm, block.due)


def _record(execution: Execution, run: Run, event: BlockFact, after: Block) -> list[StoreChunk]:
    match event:
        case BlockCompleted():
            _write(execution, run, event.block, event.writes)
            return _completed(execution, run, event, after)
        case BlockFailed():
            _write(execution, run, event.block, event.writes)
            return _failed(execution, run, event, after) if after.status == "failed" else []
        case BlockParked():
            _write(execution, run, event.block, event.writes)
            return []
        case BlockClaimed() | ChildEnded():
            return []
        case _:
            assert_never(event)


def _completed(execution: Execution, run: Run, event: BlockCompleted, after: Block) -> list[StoreChunk]:
    run.open -= 1
    if not is_iteration(event.block.iteration):
        _find_out(run, event)
        return []
    run.tries += after.tries
    run.http, run.duration_ms = event.http, run.duration_ms + event.duration_ms
    return _keep(execution, run, event.block, event.result)


def _find_out(run: Run, event: BlockCompleted) -> None:
    """Take over what only a worker could tell: a loop's collection, a step's ending. One that tells neither has failed."""
    match event.block.iteration, event.result:
        case events.ITEMS, {"items": list() | int() | Ref() as items, "total": int() as total}:
            run.items, run.total = items, total
        case events.ROUTE, {"targets": list(), "writes": dict(), "error": str() | None}:
            run.routed = event.result
        case _:
            message = f"the block {event.block} did not bring what it was asked for"
            run.error = Error(kind="validation", message=message, step=event.block.step)
            run.total = run.total or 0


def _failed(execution: Execution, run: Run, event: BlockFailed, after: Block) -> list[StoreChunk]:
    run.open -= 1
    error = replace(event.error, step=event.error.step or event.block.step)
    if not is_iteration(event.block.iteration):
        run.error, run.total = error, run.total or 0
        return []
    run.tries += after.tries
    run.failed |= 1 << event.block.iteration
    run.http, run.duration_ms = event.http, run.duration_ms + event.duration_ms
    if run.on_error == "fail" and run.error is None:
        run.error = error
    envelope = {
        "status": "error",
        "error": {"kind": error.kind, "message": error.message},
        "data": event.result,
    }
    return _keep(execution, run, event.block, envelope if run.loop else event.result)


def _keep(execution: Execution, run: Run, key: BlockId, result: Value) -> list[StoreChunk]:
    full = list(run.keep(key.iteration, result))
    stored = [spill(execution.id, key.step, run, chunk) for chunk in full]
    for chunk in full:
        run.drop(chunk)
    return stored


def _write(execution: Execution, run: Run, key: BlockId, writes: Mapping[str, Value]) -> None:
    """Variables of a block: `ctx` at once, or at the loop's end by index; `step` and `iter` live in the run."""
    ctx = {name: value for name, value in writes.items() if name.startswith("ctx.")}
    run.variables |= {name: value for name, value in writes.items() if name not in ctx and not run.loop}
    if run.parallel and ctx:
        run.writes[key.iteration] = {**run.writes.get(key.iteration, {}), **ctx}
    else:
        write_ctx(execution, ctx)


def write_ctx(execution: Execution, writes: Mapping[str, Value]) -> None:
    for name, value in writes.items():
        if name.startswith("ctx."):
            execution.ctx[name.removeprefix("ctx.")] = value


def apply(execution: Execution, event: Move, at: float) -> list[StoreChunk]:
    """Carry out one move of a decision. Raises IllegalTransition where the tables have no arrow."""
    match event:
        case ExecutionStarted():
            _expect(execution.status == "requested", event, execution.status, str(execution.id))
            execution.status, execution.workload = "running", event.workload
            execution.tokens[event.entry] = (Token(None),)
        case StepEntered():
            _enter(execution, event, at)
        case BlockOffered():
            _offer(execution, event, at)
        case ChildRequested():
            _move_block(execution, event, at)
        case StepFinished():
            return _finish(execution, event, at)
        case ExecutionEnded():
            _expect(execution.status != "ended", event, execution.status, str(execution.id))
            execution.status, execution.ended = "ended", event
        case _:
            assert_never(event)
    return []


def _expect(holds: bool, event: Move, status: str, subject: str) -> None:
    if not holds:
        raise IllegalTransition(type(event).__name__, status, subject)


def _enter(execution: Execution, event: StepEntered, at: float) -> None:
    epoch = execution.epochs.get(event.step, -1)
    free = event.step not in execution.runs and event.epoch == epoch + 1 and event.step in execution.tokens
    _expect(free, event, f"epoch {epoch}", event.step)
    execution.seq += 1
    execution.entered[event.step] = execution.seq
    execution.epochs[event.step] = event.epoch
    execution.runs[event.step] = Run.entered(event, at)
    left = execution.tokens.pop(event.step)[event.tokens :]
    if left:
        execution.tokens[event.step] = left


def _offer(execution: Execution, event: BlockOffered, at: float) -> None:
    run = execution.run_of(event.block)
    if run is None:
        raise IllegalTransition("BlockOffered", "not running", str(event.block))
    if event.block not in execution.blocks:
        first = not is_iteration(event.block.iteration) or event.block.iteration == run.next
        _expect(first, event, f"next is {run.next}", str(event.block))
        run.next += is_iteration(event.block.iteration)
        run.open += 1
        execution.blocks[event.block] = Block()
    _move_block(execution, event, at)


def _move_block(execution: Execution, event: BlockOffered | ChildRequested, at: float) -> None:
    block = execution.blocks.get(event.block)
    after = None if block is None else move(block, event, at)
    if after is None:
        status = (
            "gone" if block is None else f"{block.status}, attempt {block.attempt}, segment {block.segment}"
        )
        raise IllegalTransition(type(event).__name__, status, str(event.block))
    _place(execution, event.block, after)


def _finish(execution: Execution, event: StepFinished, at: float) -> list[StoreChunk]:
    run = execution.runs.get(event.step)
    if run is None or run.epoch != event.epoch or not run.complete:
        raise IllegalTransition("StepFinished", "not complete", f"{event.step}/{event.epoch}")
    execution.seq += 1
    stored = _keep_result(execution, event, run)
    execution.finished[event.step] = Finished.of(run, event, seq=execution.seq, at=at)
    del execution.runs[event.step]
    for index in sorted(run.writes):
        write_ctx(execution, run.writes[index])
    write_ctx(execution, event.writes)
    for target in event.targets:
        _send(execution, event.step, target)
    if event.status == "failed" and not event.targets and execution.failure is None:
        execution.failure = event.error
    return stored


def _keep_result(execution: Execution, event: StepFinished, run: Run) -> list[StoreChunk]:
    if event.status == "skipped" or (run.total == 0 and not run.loop):
        execution.results.pop(event.step, None)
        execution.weights.pop(event.step, None)
        return []
    broken = run.spilt and run.error is not None
    execution.results[event.step] = None if broken else run.result(execution.id, event.step)
    execution.weights[event.step] = 0 if run.spilt else run.result_bytes
    if run.spilt and not run.chunked and not broken:
        return [spill(execution.id, event.step, run, 0)]
    return []


def _send(execution: Execution, via: str, target: Target) -> None:
    execution.tokens[target.step] = (*execution.tokens.get(target.step, ()), Token(via, target.args))
