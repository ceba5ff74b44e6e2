"""What must be sent because the fold accepted a record. Derived: after a restore the same record yields the same messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, assert_never

from noetl_stream.core.block import Block
from noetl_stream.core.children import cancelled_child, left_alone
from noetl_stream.core.counts import count_of
from noetl_stream.core.events import (
    ITEMS,
    PROBES,
    ROUTE,
    BlockId,
    BlockLost,
    BlockOffered,
    Child,
    ChildRequested,
    ExecutionEnded,
    ExecutionStarted,
    FailureMet,
    LoopClosed,
    Move,
    Parent,
    StepEntered,
    StepFinished,
)
from noetl_stream.core.execution import Execution
from noetl_stream.core.finishing import ending, with_loop_writes
from noetl_stream.core.messages import (
    CancelExecution,
    Message,
    NotifyParent,
    Offer,
    Reply,
    StartChild,
    StopBlocks,
)
from noetl_stream.core.partition import Folded
from noetl_stream.core.plan import Path, Plan, Step
from noetl_stream.core.run import Run, is_iteration
from noetl_stream.core.sites import Steps, led_here
from noetl_stream.core.values import Ref, Value
from noetl_stream.ids import identity

RESULT_BYTES = 64 * 1024
ITERATION_BYTES = 1024
STATE_BYTES = 192 * 1024
"""Inline results above this in one execution make further ones go to the cache, whatever their size."""


def outbox(plan: Plan | None, folded: Folded, at: float) -> tuple[Message, ...]:
    """The messages of one accepted record, in order. `plan` may be None only if no move needs it."""
    sent: list[Message] = [*folded.messages]
    if folded.again is not None:
        sent.append(folded.again)
    if folded.machine is not None:
        sent += (message for move in folded.moves for message in _of(plan, folded.machine, move, at))
    return tuple(sent)


def _of(plan: Plan | None, machine: Execution, move: Move, at: float) -> Iterable[Message]:
    match move:
        case BlockOffered():
            yield from _offer(plan, machine, move, at) if plan is not None else ()
        case ChildRequested():
            yield _child(machine, move)
        case ExecutionEnded():
            yield from _end(machine, move)
        case ExecutionStarted() | StepEntered() | LoopClosed() | BlockLost() | StepFinished() | FailureMet():
            return
        case _:
            assert_never(move)


def _offer(plan: Plan, machine: Execution, move: BlockOffered, at: float) -> Iterator[Message]:
    """Nothing, if a later move of the same decision has already overtaken the offer."""
    block, run = machine.blocks.get(move.block), machine.run_of(move.block)
    if block is None or run is None or machine.over:
        return
    yield from _abandoned(machine, move.block, block)
    sent = offer(plan, machine, move.block, block, run, at)
    yield sent if move.count == 1 else replace(sent, count=move.count, **_items(plan, machine, move, run))


def offer(plan: Plan, machine: Execution, key: BlockId, block: Block, run: Run, at: float) -> Offer:
    """The record for the block's pool, with only those values that the step's templates read."""
    step, request = plan.steps[key.step], machine.request
    known = with_loop_writes(machine, run) if key.iteration == ROUTE else machine
    return Offer(
        execution=machine.id,
        block=key,
        attempt=block.attempt,
        segment=block.segment,
        pool=step.pool,
        path=request.path,
        version=request.version,
        digest=request.digest,
        catalog_offset=request.catalog_offset,
        tenant=request.tenant,
        seed=request.seed,
        at=at,
        total=run.count,
        inline_limit=_inline_limit(machine, run),
        priority=step.priority or request.priority,
        deadline=machine.deadline,
        trace=request.trace,
        **_item(step, run, key.iteration, machine.workload),
        via=run.via,
        args=run.args,
        error=led_here(machine, run.via),
        resume=_notes(plan, machine, key, block, run, at),
        variables=_of_step(run, key.iteration),
        answer=block.answer,
        answered=block.answered,
        **_read(reads_of(step, key.iteration), known, run.via),
    )


def _of_step(run: Run, index: int) -> dict[str, Value]:
    """`step.*` as earlier blocks of this run of the step left them. A routing block has its variables in its notes."""
    if run.parallel or not is_iteration(index):
        return {}
    return {name: value for name, value in run.variables.items() if name.startswith("step.")}


def _inline_limit(machine: Execution, run: Run) -> int:
    if run.loop or sum(machine.weights.values()) > STATE_BYTES:
        return ITERATION_BYTES
    return RESULT_BYTES


def _item(step: Step, run: Run, index: int, workload: Mapping[str, Value]) -> dict[str, Any]:
    """This iteration's item, or where the worker finds it: in `items`, at `row`."""
    batch = run.batch(index)
    items, row = (run.items, index) if batch is None else (batch.items, index - batch.start)
    if index < 0 or items is None:
        return {}
    if isinstance(items, Ref):
        return {"items": items, "row": row}
    if isinstance(items, int):
        return {"item": row}
    rows = None if step.loop is None or step.loop.rows is None else count_of(step.loop.rows, workload)
    return {"item": items[row] if rows is None else items[row * rows : (row + 1) * rows]}


def _items(plan: Plan, machine: Execution, move: BlockOffered, run: Run) -> dict[str, Any]:
    """The items of iterations that travel together. Those that were materialised are found by the first one's row."""
    step, workload = plan.steps[move.block.step], machine.workload
    each = [_item(step, run, key.iteration, workload) for key in move.blocks]
    return {} if "items" in each[0] else {"item": [found["item"] for found in each]}


def _notes(plan: Plan, machine: Execution, key: BlockId, block: Block, run: Run, at: float) -> Value:
    """A routing block is told how the step's run ended, a condition's how the last iteration did; others get back what
    they left."""
    if key.iteration <= PROBES and plan.steps[key.step].loop_condition is not None:
        return {"index": run.next, "last": run.last}
    if key.iteration != ROUTE:
        return block.resume
    ended = ending(plan, machine, key.step, run, at)[1]
    return {
        "result": ended.result,
        "http": ended.http,
        "tries": ended.tries,
        "duration_ms": ended.duration_ms,
        "loop": ended.loop,
        "variables": dict(ended.variables),
        "findings": ended.findings,
        "error": None if ended.error is None else asdict(ended.error),
    }


def reads_of(step: Step, index: int) -> frozenset[Path]:
    """What the templates of a block read: of a step's work, its beginning, its growing or its ending."""
    if is_iteration(index):
        return step.reads
    return {ITEMS: step.reads_to_enter, ROUTE: step.reads_to_leave}.get(index, step.reads_to_grow)()


def _read(reads: frozenset[Path], machine: Execution, via: str | None) -> dict[str, Any]:
    """The values a block reads, by the layer they come from (dsl: conditions are sent only what they read)."""
    everything = ("*",) in reads
    wanted = _Wanted(machine)
    for path in reads:
        wanted.add(path)
    if via is not None and any(path[0] in ("result", "response") for path in reads):
        wanted.result(via)
    if everything:
        return {
            "workload": machine.workload,
            "ctx": dict(machine.ctx),
            "results": machine.results,
            "steps": wanted.steps,
        }
    return {"workload": wanted.workload, "ctx": wanted.ctx, "results": wanted.results, "steps": wanted.steps}


class _Wanted:
    """Collects what some paths read of an execution."""

    def __init__(self, machine: Execution) -> None:
        self._machine, self._steps = machine, Steps(machine)
        self.workload: dict[str, Value] = {}
        self.ctx: dict[str, Value] = {}
        self.results: dict[str, Value] = {}
        self.steps: dict[str, Value] = {}

    def add(self, path: Path) -> None:
        match path:
            case ("workload", *rest):
                self._take(self._machine.workload, self.workload, rest)
            case ("ctx", *rest):
                self._take(self._machine.ctx, self.ctx, rest)
            case ("steps", *rest):
                self._take(self._steps, self.steps, rest)
            case _:
                self._bare(path[0])

    @staticmethod
    def _take(source: Mapping[str, Value], into: dict[str, Value], rest: list[str]) -> None:
        """One key where the path names it, all of them where it does not."""
        for name in rest[:1] or source:
            if name in source:
                into[name] = source[name]

    def _bare(self, name: str) -> None:
        if name in self._machine.results:
            self.result(name)
        elif name in self._machine.ctx:
            self.ctx[name] = self._machine.ctx[name]
        elif name in self._machine.workload:
            self.workload[name] = self._machine.workload[name]

    def result(self, name: str) -> None:
        if name in self._machine.results:
            self.results[name] = self._machine.results[name]


def _child(machine: Execution, move: ChildRequested) -> StartChild:
    block, request = machine.blocks[move.block], machine.request
    wait = block.wait
    assert isinstance(wait, Child)  # the table: only a block that called is started
    parent = Parent(execution=machine.id, block=move.block, attempt=move.attempt, segment=move.segment)
    return StartChild(
        parent=parent,
        child=wait,
        tenant=request.tenant,
        seed=identity("seed", request.seed, wait.identity).hex(),
        deadline=machine.deadline,
        priority=request.priority,
        trace=request.trace,
    )


def _end(machine: Execution, move: ExecutionEnded) -> Iterator[Message]:
    request = machine.request
    for key, block in machine.blocks.items():
        yield from left_alone(machine.id, key, block, "its parent has ended")
    if machine.blocks:
        yield StopBlocks(execution=machine.id)
    if request.parent is not None:
        yield NotifyParent(
            parent=request.parent, child=machine.id, status=move.status, result=move.result, error=move.error
        )
    if request.reply_to is not None:
        yield Reply(
            execution=machine.id,
            reply_to=request.reply_to,
            path=request.path,
            version=request.version,
            status=move.status,
            correlation=request.correlation,
            result=move.result,
            error=move.error,
        )


def _abandoned(machine: Execution, key: BlockId, block: Block) -> Iterator[CancelExecution]:
    """The child of a block that stopped waiting for it."""
    if isinstance(block.answer, dict) and block.answer.get("status") == "TIMED_OUT":
        yield from cancelled_child(machine.id, key, block, "its parent stopped waiting")
