"""Carrying out what was decided: one function a move. A move of our own without an arrow is a fault of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from noetl_stream.core.block import Block, BlockMove, move
from noetl_stream.core.events import (
    PROBES,
    BlockId,
    BlockLost,
    BlockOffered,
    ChildRequested,
    ExecutionEnded,
    ExecutionStarted,
    FailureMet,
    LoopClosed,
    Move,
    StepEntered,
    StepFinished,
    Target,
)
from noetl_stream.core.facts import given_up, place, write_ctx
from noetl_stream.core.messages import StoreChunk
from noetl_stream.core.run import Finished, Run, Token, is_iteration, spill
from noetl_stream.errors import IllegalTransition

if TYPE_CHECKING:
    from noetl_stream.core.execution import Execution


def apply(execution: Execution, event: Move, at: float) -> list[StoreChunk]:
    """Carry out one move of a decision. Raises IllegalTransition where the tables have no arrow."""
    match event:
        case ExecutionStarted():
            _expect(execution.status == "requested", event, execution.status, str(execution.id))
            _start(execution, event)
        case StepEntered():
            _enter(execution, event, at)
        case LoopClosed():
            _close(execution, event)
        case BlockOffered():
            _offer(execution, event, at)
        case BlockLost():
            return _lose(execution, event, at)
        case ChildRequested():
            _move_block(execution, event, event.block, at)
        case StepFinished():
            return _finish(execution, event, at)
        case FailureMet():
            _meet(execution, event)
        case ExecutionEnded():
            _expect(execution.status != "ended", event, execution.status, str(execution.id))
            execution.status, execution.ended = "ended", event
        case _:
            assert_never(event)
    return []


def _expect(holds: bool, event: Move, status: str, subject: str) -> None:
    if not holds:
        raise IllegalTransition(type(event).__name__, status, subject)


def _start(execution: Execution, event: ExecutionStarted) -> None:
    execution.status, execution.workload = "running", event.workload
    execution.tokens[event.entry] = (Token(None),)
    if event.deadline is not None:
        execution.deadline = execution.alarm = event.deadline


def _meet(execution: Execution, event: FailureMet) -> None:
    """What waited or had failed is given up; one token goes to the step for failures."""
    _expect(execution.failure is not None and execution.met is None, event, execution.status, event.step)
    via = None if event.error.step not in execution.finished else event.error.step
    execution.met, execution.failure = event.error, None
    execution.runs.clear()
    execution.tokens = {event.step: (Token(via),)}


def _enter(execution: Execution, event: StepEntered, at: float) -> None:
    epoch = execution.epochs.get(event.step, -1)
    led = event.step in execution.tokens or not event.tokens
    free = event.step not in execution.runs and event.epoch == epoch + 1 and led
    _expect(free, event, f"epoch {epoch}", event.step)
    execution.seq += 1
    execution.entered[event.step] = execution.seq
    execution.epochs[event.step] = event.epoch
    execution.runs[event.step] = Run.entered(event, at)
    left = execution.tokens.pop(event.step, ())[event.tokens :]
    if left:
        execution.tokens[event.step] = left


def _close(execution: Execution, event: LoopClosed) -> None:
    run = execution.runs.get(event.step)
    if run is None or run.epoch != event.epoch or run.total is not None:
        raise IllegalTransition("LoopClosed", "not growing", f"{event.step}/{event.epoch}")
    run.close()
    run.error = event.error


def _offer(execution: Execution, event: BlockOffered, at: float) -> None:
    run = execution.run_of(event.block)
    if run is None:
        raise IllegalTransition("BlockOffered", "not running", str(event.block))
    for key in event.blocks:
        if key not in execution.blocks:
            attempt = _count(run, event, key)
            early = None if attempt else run.early.get(key.iteration)
            execution.blocks[key] = Block(attempt=attempt, early=early)
        _move_block(execution, event, key, at)


def _count(run: Run, event: BlockOffered, key: BlockId) -> int:
    """A block is offered for the first time, or after it had ended: as which attempt. An iteration beyond those known is a
    growing loop's next."""
    index = key.iteration
    run.open += 1
    if (attempt := run.queued(index)) is not None:
        run.again = tuple(each for each in run.again if each[0] != index)
        return attempt
    if is_iteration(index):
        _expect(index == run.next, event, f"next is {run.next}", str(key))
        run.next += 1
        run.count = max(run.count, run.next)
        run.move_on()
    elif index <= PROBES:
        _expect(index == PROBES - run.probes, event, f"{run.probes} probes", str(key))
        run.probes += 1
        run.probing += 1
    return 0


def _lose(execution: Execution, event: BlockLost, at: float) -> list[StoreChunk]:
    after, run = _move_block(execution, event, event.block, at), execution.runs[event.block.step]
    # A draft shares these with the state that it was made of, since only facts change them elsewhere.
    run.results, run.filled, run.failing = dict(run.results), dict(run.filled), dict(run.failing)
    return given_up(execution, run, event, after, at)


def _move_block(execution: Execution, event: BlockMove, key: BlockId, at: float) -> Block:
    block = execution.blocks.get(key)
    after = None if block is None else move(block, event, at)
    if after is None:
        status = (
            "gone" if block is None else f"{block.status}, attempt {block.attempt}, segment {block.segment}"
        )
        raise IllegalTransition(type(event).__name__, status, str(key))
    place(execution, key, after)
    return after


def _finish(execution: Execution, event: StepFinished, at: float) -> list[StoreChunk]:
    run = execution.runs.get(event.step)
    if run is None or run.epoch != event.epoch or not run.complete:
        raise IllegalTransition("StepFinished", "not complete", f"{event.step}/{event.epoch}")
    execution.seq += 1
    stored = _keep_result(execution, event, run)
    execution.finished[event.step] = Finished.of(run, event, seq=execution.seq, at=at)
    del execution.runs[event.step]
    write_ctx(execution, run.written)
    write_ctx(execution, event.writes)
    for target in event.targets:
        _send(execution, event.step, target)
    if event.status == "failed" and not event.targets and execution.failure is None:
        execution.failure = event.error
    return stored


def _keep_result(execution: Execution, event: StepFinished, run: Run) -> list[StoreChunk]:
    """The step's result under its name. A step that was skipped, or failed without bringing anything, has none."""
    nothing = event.status == "skipped" or (run.count == 0 and not run.loop)
    result = None if nothing else run.result(execution.id, event.step)
    if nothing or (result is None and event.status == "failed"):
        execution.results.pop(event.step, None)
        execution.weights.pop(event.step, None)
        return []
    execution.results[event.step] = result
    execution.weights[event.step] = 0 if run.spilt else run.result_bytes
    return [spill(execution.id, event.step, run, chunk) for chunk in run.unstored()] if run.spilt else []


def _send(execution: Execution, via: str, target: Target) -> None:
    execution.tokens[target.step] = (*execution.tokens.get(target.step, ()), Token(via, target.args))
