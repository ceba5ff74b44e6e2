"""Folding what is reported of a block: claims, outcomes, a child's end. What has no arrow in `block` did not happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from noetl_stream.core import events
from noetl_stream.core.block import Block, move
from noetl_stream.core.bundles import waits_its_turn, withdraw_after
from noetl_stream.core.events import (
    Answer,
    BlockClaimed,
    BlockCompleted,
    BlockContested,
    BlockFact,
    BlockFailed,
    BlockId,
    BlockLost,
    BlockParked,
    BlocksReported,
    CallbackReceived,
    ChildEnded,
    Outcome,
)
from noetl_stream.core.machine import Taken, Verdict
from noetl_stream.core.messages import StoreChunk
from noetl_stream.core.reopening import amend
from noetl_stream.core.run import Run, is_iteration, single_name, spill
from noetl_stream.core.tokens import is_genuine
from noetl_stream.core.values import Error, Ref, Value

if TYPE_CHECKING:
    from noetl_stream.core.execution import Execution


def reported(execution: Execution, event: BlocksReported, offset: int) -> Taken:
    """Fold what is reported of several blocks, each as if it stood alone. The record counts if any of it does."""
    taken = [fact(execution, each, offset) for each in event.facts]
    found = {each.verdict for each in taken}
    verdict: Verdict = next((v for v in _BY_WEIGHT if v in found), "stale")
    messages = tuple(message for each in taken for message in each.messages)
    return Taken(verdict, messages, tuple(counted for each in taken for counted in each.counted))


_BY_WEIGHT: tuple[Verdict, ...] = ("accepted", "duplicate", "stale")


def fact(execution: Execution, event: BlockFact, offset: int) -> Taken:
    """Fold what somebody reports of a block."""
    if isinstance(event, CallbackReceived) and not is_genuine(execution.request.seed, execution.id, event):
        return Taken("rejected")
    block, run = execution.blocks.get(event.block), execution.run_of(event.block)
    if block is None and run is not None and isinstance(event, CallbackReceived) and _may_yet_ask(run, event):
        if event.block.iteration in run.early:
            return Taken("duplicate")
        execution.latest, run.early[event.block.iteration] = offset, event
        return Taken("accepted")
    if block is None or run is None:
        return Taken(_verdict_on_gone(execution, event))
    after = None if _out_of_turn(execution, run, event) else move(block, event, event.time)
    if after is None:
        return Taken("duplicate" if _is_repetition(block, event) else "stale")
    execution.latest = offset
    if not _quiet(run, event):
        execution.touched = offset
    place(execution, event.block, after)
    return Taken("accepted", tuple(_record(execution, run, event, after)), (event,))


def _may_yet_ask(run: Run, event: CallbackReceived) -> bool:
    """Another run of its bundle had got further than the one that counts: it gave out the token, and so will the next."""
    return run.loop and event.block.iteration >= run.next and event.attempt == event.segment == 0


def _out_of_turn(execution: Execution, run: Run, event: BlockFact) -> bool:
    """In sequence an iteration ends after those before it, whoever ran it how far."""
    return isinstance(event, Outcome) and waits_its_turn(execution, run, event.block)


def _verdict_on_gone(execution: Execution, event: BlockFact) -> Verdict:
    """An outcome for a block that has ended came before; anything else is from another life."""
    epoch = execution.epochs.get(event.block.step, -1)
    return (
        "duplicate"
        if event.block.epoch <= epoch and not isinstance(event, BlockClaimed | BlockContested)
        else "stale"
    )


def _is_repetition(block: Block, event: BlockFact) -> bool:
    """Whoever answers, answers what was asked: all that is not heard was answered before, or is asked no more."""
    return (event.attempt, event.segment) < (block.attempt, block.segment) or isinstance(event, Answer)


def _quiet(run: Run, event: BlockFact) -> bool:
    """Facts that matter to nobody but their own loop: the hot ones. All others may change what is decided next."""
    match event:
        case BlockClaimed() | BlockContested():
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


def place(execution: Execution, key: BlockId, block: Block) -> None:
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
            if after.status == "failed":
                return fail(execution, run, event, after)
            withdraw_after(execution, run, event.block)
            return []
        case BlockParked():
            _write(execution, run, event.block, event.writes)
            withdraw_after(execution, run, event.block)
            return []
        case BlockClaimed() | BlockContested() | ChildEnded() | CallbackReceived():
            return []
        case _:
            assert_never(event)


def _completed(execution: Execution, run: Run, event: BlockCompleted, after: Block) -> list[StoreChunk]:
    run.open -= 1
    if not is_iteration(event.block.iteration):
        _find_out(run, event.block, event.result)
        return []
    run.tries += after.tries
    run.http, run.duration_ms = event.http, run.duration_ms + event.duration_ms
    run.found(event.findings)
    return _keep(execution, run, event, event.result)


def _find_out(run: Run, block: BlockId, found: Value) -> None:
    """Take over what only a worker could tell. A block that does not tell what it was asked for has failed."""
    match block.iteration, found:
        case events.ITEMS, {"items": list() | int() | Ref() | None, "total": int() | None}:
            _begin(run, found)
        case events.ROUTE, {"targets": list(), "writes": dict(), "error": str() | None}:
            run.routed = found
        case number, {"items": list() | Ref() as items, "total": int() as total} if number <= events.PROBES:
            _grow(run, items, total)
        case _:
            message = f"the block {block} did not bring what it was asked for"
            run.error = Error(kind="validation", message=message, step=block.step)


def _begin(run: Run, found: Mapping[str, Value]) -> None:
    """How a step begins: whether at all, with which collection, and how much of it at once.

    The log has older answers, which tell of a collection alone.
    """
    run.items, run.total, run.count = found["items"], found["total"], found["total"] or 0
    run.admitted = found.get("admitted", True)
    run.limit, run.frames = found.get("limit", run.limit), found.get("frames", run.frames)


def _grow(run: Run, items: list[Value] | Ref, total: int) -> None:
    """A probe's answer. The first that finds nothing is the last: what is still in flight may yet bring some."""
    run.probing -= 1
    if total:
        run.grown(items, total)
    else:
        run.dry = True
    if run.dry and not run.probing:
        run.close()


def fail(execution: Execution, run: Run, event: BlockFailed, after: Block) -> list[StoreChunk]:
    """A block has failed for good."""
    run.open -= 1
    error = replace(event.error, step=event.error.step or event.block.step)
    if not is_iteration(event.block.iteration):
        run.error, run.unroutable = error, event.block.iteration == events.ROUTE
        run.probing -= event.block.iteration <= events.PROBES
        return []
    run.tries += after.tries
    run.failed |= 1 << event.block.iteration
    run.http, run.duration_ms = event.http, run.duration_ms + event.duration_ms
    run.found(event.findings)
    if run.on_error == "fail":
        run.failing[event.block.iteration] = error
        run.error = run.error or error
        withdraw_after(execution, run, event.block)
    envelope = {
        "status": "error",
        "error": {"kind": error.kind, "message": error.message},
        "data": event.result,
    }
    return _keep(execution, run, event, envelope if run.loop else event.result)


def given_up(execution: Execution, run: Run, event: BlockLost, after: Block, at: float) -> list[StoreChunk]:
    """A block whose run was given up has failed, with nothing to show."""
    failed = BlockFailed(
        block=event.block, attempt=event.attempt, segment=event.segment, run="", error=event.error, time=at
    )
    return fail(execution, run, failed, after)


def _keep(
    execution: Execution, run: Run, event: BlockCompleted | BlockFailed, result: Value
) -> list[StoreChunk]:
    key, run.attempts = event.block, max(run.attempts, event.attempt)
    if key.iteration in run.reopened:
        name = single_name(execution.id, *key, event.attempt)
        return [amend(run, name, key.iteration, result)]
    full = list(run.keep(key.iteration, result))
    stored = [spill(execution.id, key.step, run, chunk) for chunk in full]
    for chunk in full:
        run.drop(chunk)
    return stored


def _write(execution: Execution, run: Run, key: BlockId, writes: Mapping[str, Value]) -> None:
    """Variables of a block: at once, or at a parallel loop's end by index. In a loop `iter` is nobody else's."""
    kept = {name: value for name, value in writes.items() if not (run.loop and name.startswith("iter."))}
    if run.parallel and kept:
        run.write(key.iteration, kept)
        return
    run.variables |= {name: value for name, value in kept.items() if not name.startswith("ctx.")}
    write_ctx(execution, kept)


def write_ctx(execution: Execution, writes: Mapping[str, Value]) -> None:
    for name, value in writes.items():
        if name.startswith("ctx."):
            execution.ctx[name.removeprefix("ctx.")] = value
