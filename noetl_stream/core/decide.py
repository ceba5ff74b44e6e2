"""All that should happen now and does not yet stand in the log.

`decide` tries one move after another on a draft of the state until none is left; the fold later applies the same moves
in the same way. It reads the log's state, the plan and `now`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from noetl_stream.core.block import Block
from noetl_stream.core.bundles import bundled, first_offers, size_of
from noetl_stream.core.entering import enter
from noetl_stream.core.events import (
    BlockContested,
    BlockId,
    BlockLost,
    BlockOffered,
    ChildRequested,
    ExecutionEnded,
    FailureMet,
    Move,
    StepEntered,
)
from noetl_stream.core.execution import Execution
from noetl_stream.core.finishing import finish
from noetl_stream.core.growing import grow
from noetl_stream.core.moves import apply
from noetl_stream.core.plan import Plan, Step
from noetl_stream.core.routing import is_join, may_enter, waiting
from noetl_stream.core.run import Run, Token
from noetl_stream.core.starting import start
from noetl_stream.core.values import Error, unmarked

MOVES_PER_DECISION = 1_000
"""A decision's length is bounded; what is left is decided next."""


def decide(plan: Plan, execution: Execution, now: float) -> tuple[Move, ...]:
    """The moves that follow from the state at `now`, in order; empty if there is nothing to do."""
    draft, moves = execution.draft(), list[Move]()
    while len(moves) < MOVES_PER_DECISION:
        batch = _next(plan, draft, now)
        if not batch:
            break
        for move in batch:
            apply(draft, move, now)
        moves += batch
    return tuple(moves)


def _next(plan: Plan, draft: Execution, now: float) -> tuple[Move, ...]:
    """The next moves, by urgency: start, stop, timers and answers, running steps, waiting tokens, the end."""
    if draft.status == "ended":
        return ()
    if draft.status == "requested" and draft.cancelled is None:
        return (start(plan, draft, now),)
    if draft.cancelled is not None:
        return (ExecutionEnded(status="CANCELLED", error=_cancelled(draft)),)
    if draft.deadline is not None and draft.deadline <= now:
        return (
            ExecutionEnded(status="FAILED", error=Error(kind="timeout", message="the deadline has passed")),
        )
    return (
        tuple(islice(_wake(plan, draft, now), MOVES_PER_DECISION))
        or next((m for name, run in draft.runs.items() if (m := _go_on(plan, draft, name, run, now))), ())
        or next((m for name in draft.tokens if (m := _arrive(plan, draft, name, now))), ())
        or _end(plan, draft, now)
    )


def _cancelled(draft: Execution) -> Error:
    reason = draft.cancelled.reason if draft.cancelled else ""
    return Error(kind="cancelled", message=reason or "cancelled on request")


def _wake(plan: Plan, draft: Execution, now: float) -> Iterator[Move]:
    """Blocks whose timer has fired, whose answer is here, or who want their child started."""
    for key in draft.awake:
        block = draft.blocks[key]
        if block.status == "calling":
            yield ChildRequested(block=key, attempt=block.attempt, segment=block.segment - 1)
        else:
            yield BlockOffered(block=key, attempt=block.attempt, segment=block.segment)
    if draft.alarm is not None and draft.alarm <= now:
        due = ((k, b) for k, b in draft.blocks.items() if b.due is not None and b.due <= now)
        yield from bundled(plan, draft, (_due(k, b) for k, b in due if k not in draft.awake))


def _due(key: BlockId, block: Block) -> Move:
    """What becomes of a block whose time is up."""
    if block.contest is None:
        return BlockOffered(block=key, attempt=block.attempt, segment=block.segment)
    error = Error(kind="server_error", code="lost", message=_lost(block.contest), step=key.step)
    return BlockLost(block=key, attempt=block.attempt, segment=block.segment, error=error)


def _lost(contest: BlockContested) -> str:
    return (
        f"nobody knows whether task '{contest.task}' took effect: its run began it, and ended without an outcome; "
        f"look where it acts for the idempotency key {contest.effect} before you run it again"
    )


def _go_on(plan: Plan, draft: Execution, name: str, run: Run, now: float) -> tuple[Move, ...]:
    """Offer what the loop's limit allows, or finish the step."""
    if run.complete:
        return finish(plan, draft, name, run, now)
    if run.again:
        turn = run.again[: min(max(run.limit - run.working, 0), MOVES_PER_DECISION)]
        return tuple(BlockOffered(block=BlockId(name, run.epoch, i), attempt=a, segment=0) for i, a in turn)
    if run.error is not None or draft.failure is not None:
        return ()
    offers = first_offers(name, run, size_of(plan, draft, name), MOVES_PER_DECISION)
    return offers or (grow(plan, draft, name, run, now) if run.grows and run.total is None else ())


def _arrive(plan: Plan, draft: Execution, name: str, now: float) -> tuple[Move, ...]:
    if draft.failure is not None or not may_enter(plan, draft, name):
        return ()
    tokens = draft.tokens[name]
    together = tokens if is_join(plan, name) else tokens[:1]
    return enter(plan, draft, plan.steps[name], together, now)


def _end(plan: Plan, draft: Execution, now: float) -> tuple[Move, ...]:
    """No token is left, or a step failed and its running siblings have finished."""
    if draft.failure is not None:
        return () if any(run.open for run in draft.runs.values()) else (_fail(plan, draft, draft.failure),)
    if draft.runs or waiting(plan, draft):
        return ()
    if draft.met is not None:
        return (ExecutionEnded(status="FAILED", error=draft.met),)
    answering = _answering(plan, draft)
    if plan.promise is not None and plan.promise not in draft.finished:
        return _asked(plan, draft, plan.steps[plan.promise], answering, now)
    result = None if answering is None else draft.results.get(answering)
    return (ExecutionEnded(status="COMPLETED", result=unmarked(result)),)


def _asked(plan: Plan, draft: Execution, step: Step, answering: str | None, now: float) -> tuple[Move, ...]:
    """A last step is entered without a token: it holds the result to what the playbook promises."""
    moves = enter(plan, draft, step, (Token(answering),), now)
    return tuple(replace(move, tokens=0) if isinstance(move, StepEntered) else move for move in moves)


def _fail(plan: Plan, draft: Execution, failure: Error) -> Move:
    """The end, with its first failure; before it the step that the playbook has for failures, once."""
    if plan.on_failure is not None and draft.met is None:
        return FailureMet(step=plan.on_failure, error=failure)
    return ExecutionEnded(status="FAILED", error=draft.met or failure)


def _answering(plan: Plan, draft: Execution) -> str | None:
    """Whose result is the execution's: the step a parent named, else the playbook's final one if it ran, else the last
    that finished."""
    if draft.request.return_step is not None:
        return draft.request.return_step
    if plan.final in draft.results:
        return plan.final
    ended = ((one.seq, name) for name, one in draft.finished.items() if name != plan.promise)
    return max(ended, default=(0, None))[1]
