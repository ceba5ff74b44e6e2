"""Entering a step: admission, and the collection of its loop."""

from __future__ import annotations

import json
from collections.abc import Mapping

from noetl_stream.core.events import ITEMS, BlockId, BlockOffered, Move, StepEntered, StepFinished
from noetl_stream.core.execution import Execution
from noetl_stream.core.finishing import failing
from noetl_stream.core.plan import Loop, Plan, Step
from noetl_stream.core.run import INLINE_BYTES, Token, json_size
from noetl_stream.core.scope import evaluate
from noetl_stream.core.sites import Ending, entering, facts, led_here
from noetl_stream.core.values import Error, NeedsPayload, Ref, Value
from noetl_stream.errors import ExpressionError


def enter(
    plan: Plan, draft: Execution, step: Step, tokens: tuple[Token, ...], now: float
) -> tuple[Move, ...]:
    """The moves by which waiting tokens enter a step together."""
    last = tokens[-1]
    scope = entering(plan, draft, step.name, last.via, last.args, now)
    try:
        if step.admit is not None and not evaluate(step.admit, scope):
            return _closed(
                draft, step, tokens, StepFinished(step=step.name, epoch=_epoch(draft, step), status="skipped")
            )
        return _open(draft, step, tokens, scope)
    except ExpressionError as error:
        why = Error(kind="validation", message=str(error), step=step.name, place=error.place)
    except NeedsPayload:
        why = Error(kind="validation", message=_too_large(step.name), step=step.name)
    return _closed(draft, step, tokens, _failed(plan, draft, step, last, why, now))


def _too_large(step: str) -> str:
    return (
        f"the admission or `max_in_flight` of step '{step}' reads a result that stands in the cache;"
        " put the condition on the arc that leads to it, or the number into ctx"
    )


def _failed(plan: Plan, draft: Execution, step: Step, token: Token, why: Error, now: float) -> StepFinished:
    """A step that could not be entered has failed: its arcs for failures may take it."""
    end = StepFinished(step=step.name, epoch=_epoch(draft, step), status="failed", error=why)
    site = f"{step.name}/{end.epoch}/out"
    known = facts(plan, draft, site, now, via=token.via, error=led_here(draft, token.via))
    return failing(step, end, known, Ending(step=step.name, result=None, error=why, args=token.args))


def _epoch(draft: Execution, step: Step) -> int:
    return draft.epochs.get(step.name, -1) + 1


def _closed(draft: Execution, step: Step, tokens: tuple[Token, ...], end: StepFinished) -> tuple[Move, ...]:
    """Entered and left at once, without a block."""
    return (_entered(draft, step, tokens, total=0, items=None), end)


def _open(
    draft: Execution, step: Step, tokens: tuple[Token, ...], scope: Mapping[str, Value]
) -> tuple[Move, ...]:
    if step.loop is None:
        return (_entered(draft, step, tokens, total=0 if step.tool is None else 1, items=None),)
    limit = _limit(step.loop, step.name, scope)
    try:
        items = collection(evaluate(step.loop.items, scope), step.name)
    except NeedsPayload:
        items = None
    if items is None or (isinstance(items, list) and json_size(items) > INLINE_BYTES):
        block = BlockId(step.name, _epoch(draft, step), ITEMS)
        return (
            _entered(draft, step, tokens, total=None, items=None, limit=limit),
            BlockOffered(block=block, attempt=0, segment=0),
        )
    total = items if isinstance(items, int) else len(items)
    return (_entered(draft, step, tokens, total=total, items=items, limit=limit),)


def _limit(loop: Loop, step: str, scope: Mapping[str, Value]) -> int:
    """How many iterations may be in flight: one in sequence, else what the author bounded them to."""
    if not loop.parallel:
        return 1
    found = loop.limit if loop.bound is None else evaluate(loop.bound, scope)
    if not isinstance(found, int) or found < 1:
        raise ExpressionError(
            f"`max_in_flight` is a whole number from 1, not {found!r:.40}",
            text="max_in_flight",
            place=f"step '{step}', loop",
        )
    return found


def collection(found: Value, step: str) -> list[Value] | int | None:
    """What a loop runs over: a list, or n for 0..n-1; None if only a worker can tell. Raises ExpressionError."""
    match found:
        case bool() | None:
            pass
        case int() if found >= 0:
            return found
        case list() | tuple():
            return list(found)
        case Mapping():
            return [{"key": key, "value": value} for key, value in found.items()]
        case Ref():
            return None
        case str():
            return _listed(found, step)
    raise ExpressionError(_unfit(type(found).__name__), text="in", place=f"step '{step}', loop")


def _listed(text: str, step: str) -> list[Value]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise ExpressionError(_unfit("text that is no JSON list"), text="in", place=f"step '{step}', loop")
    return found


def _unfit(what: str) -> str:
    return f"a loop needs a list, a mapping, a JSON list or a count, not {what}"


def _entered(
    draft: Execution,
    step: Step,
    tokens: tuple[Token, ...],
    *,
    total: int | None,
    items: list[Value] | int | None,
    limit: int = 1,
) -> StepEntered:
    loop: Loop | None = step.loop
    return StepEntered(
        step=step.name,
        epoch=_epoch(draft, step),
        total=total,
        items=items,
        loop=loop is not None,
        parallel=loop is not None and loop.parallel,
        on_error=loop.on_error if loop is not None else "fail",
        limit=limit,
        tokens=len(tokens),
        via=tokens[-1].via,
        args=tokens[-1].args,
    )
