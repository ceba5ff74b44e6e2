"""One iteration is stopped, or run again, because somebody asked: what the fold makes of such a wish.

A wish names the attempt that it is about, so that a repetition of it changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from noetl_stream.core.block import Block, move
from noetl_stream.core.bundles import waits_its_turn, withdraw_after
from noetl_stream.core.children import left_alone
from noetl_stream.core.events import (
    ROUTE,
    BlockCancelRequested,
    BlockFailed,
    BlockId,
    BlockRetryRequested,
    BlockWish,
)
from noetl_stream.core.facts import fail, place
from noetl_stream.core.machine import Taken
from noetl_stream.core.messages import Message, StopBlocks
from noetl_stream.core.reopening import bar, reopen
from noetl_stream.core.run import Run
from noetl_stream.core.values import Error

if TYPE_CHECKING:
    from noetl_stream.core.execution import Execution

Standing: TypeAlias = Literal["unknown", "ahead", "in flight", "queued", "failed", "succeeded"]
"""`ahead` has not begun, `queued` is to run again as soon as its loop's limit lets it."""


def standing(execution: Execution, run: Run, key: BlockId) -> Standing:
    """How an iteration of a step that runs stands."""
    index = key.iteration
    if key in execution.blocks:
        return "in flight"
    if not 0 <= index < run.count:
        return "unknown"
    if run.queued(index) is not None:
        return "queued"
    if index >= run.next and not run.is_barred(index):
        return "ahead"
    return "failed" if run.failed >> index & 1 else "succeeded"


def attempt_of(execution: Execution, run: Run, key: BlockId) -> int:
    """The attempt at which an iteration is. Of those that have ended the loop knows only the highest."""
    block, queued = execution.blocks.get(key), run.queued(key.iteration)
    if block is not None:
        return block.attempt
    return queued if queued is not None else run.attempts


def concluding(execution: Execution, run: Run, step: str) -> bool:
    """Whether a worker is at the step's ending, or has been: what it found must not change any more."""
    return run.routed is not None or run.unroutable or BlockId(step, run.epoch, ROUTE) in execution.blocks


def can_reopen(run: Run, index: int) -> bool:
    """Whether what the iteration was about is still known: a growing loop forgets what it has worked off."""
    return not run.grows or run.batch(index) is not None


def cancel_one(execution: Execution, event: BlockCancelRequested, offset: int) -> Taken:
    """Stop an iteration, or bar it from beginning. It has failed, and its loop's `on_error` says what that means."""
    run, key = execution.run_of(event.block), event.block
    if run is None or execution.cancelled is not None:
        return Taken("stale")
    before = execution.blocks.get(key, Block(attempt=run.queued(key.iteration) or 0))
    match standing(execution, run, key):
        case "unknown":
            return Taken("stale")
        case "failed" | "succeeded":
            return Taken("duplicate")
        case "in flight" | "queued" | "ahead" as stands:
            after = move(before, event, event.time) if event.attempt == before.attempt else None
        case other:
            assert_never(other)
    if after is None:
        return Taken("duplicate" if event.attempt < before.attempt else "stale")
    _touch(execution, offset)
    if stands == "in flight":
        place(execution, key, after)
        withdraw_after(execution, run, key)
    else:
        bar(run, key.iteration)
    stored = fail(execution, run, _cancelled(event, after), after)
    # Whoever runs it may stop at it, and then runs nothing that came along.
    withdraw_after(execution, run, key)
    return Taken("accepted", (*stored, *_called_off(execution, event, before, "it was cancelled")))


def _cancelled(event: BlockCancelRequested, block: Block) -> BlockFailed:
    why = Error(kind="cancelled", message=event.reason or "cancelled on request", step=event.block.step)
    return BlockFailed(
        block=event.block,
        attempt=block.attempt,
        segment=block.segment,
        run="",
        error=why,
        time=event.time,
    )


def retry_one(execution: Execution, event: BlockRetryRequested, offset: int) -> Taken:
    """Run an iteration again: one that is under way begins anew, one that ended waits for its turn."""
    run, key = execution.run_of(event.block), event.block
    if run is None or execution.cancelled is not None:
        return Taken("stale")
    stands = standing(execution, run, key)
    if stands in ("unknown", "ahead"):
        return Taken("stale")
    if event.attempt <= attempt_of(execution, run, key) or stands == "queued":
        return Taken("duplicate")
    if stands == "in flight" and waits_its_turn(execution, run, key):
        return Taken("stale")
    if stands == "in flight":
        return _begin_anew(execution, event, offset)
    refused = stands == "succeeded" and not event.force
    if refused or concluding(execution, run, key.step) or not can_reopen(run, key.iteration):
        return Taken("rejected")
    _touch(execution, offset)
    reopen(run, key.iteration, event.attempt)
    return Taken("accepted")


def _begin_anew(execution: Execution, event: BlockRetryRequested, offset: int) -> Taken:
    before = execution.blocks[event.block]
    after = move(before, event, event.time)
    if after is None:
        return Taken("stale")
    _touch(execution, offset)
    place(execution, event.block, after)
    withdraw_after(execution, execution.runs[event.block.step], event.block)
    return Taken("accepted", _called_off(execution, event, before, "its parent runs again"))


def _called_off(execution: Execution, event: BlockWish, block: Block, reason: str) -> tuple[Message, ...]:
    """What still goes on for an attempt that counts no more."""
    stop = StopBlocks(execution=execution.id, block=event.block, attempt=block.attempt)
    return (*left_alone(execution.id, event.block, block, reason), stop)


def _touch(execution: Execution, offset: int) -> None:
    """Even the offers of a hot loop, decided before this, stand no more."""
    execution.latest = execution.touched = execution.halted = offset
