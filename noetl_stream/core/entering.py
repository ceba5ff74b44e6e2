"""Entering a step: admission, and the collection of its loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noetl_stream.core.counts import count_of
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
    """The moves by which waiting tokens enter a step together. What reads a referenced value, a worker finds out."""
    last = tokens[-1]
    scope = entering(plan, draft, step.name, last.via, last.args, now)
    try:
        return _open(draft, step, tokens, beginning(step, scope))
    except ExpressionError as error:
        why = Error(kind="validation", message=str(error), step=step.name, place=error.place)
        return _closed(draft, step, tokens, _failed(plan, draft, step, last, why, now))
    except NeedsPayload:
        return _asked(draft, step, tokens)


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
    return (_entered(draft, step, tokens, Beginning(total=0)), end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """How a step begins: whether at all, with so many iterations over `items`, `limit` at once. `total` None: it grows."""

    admitted: bool = True
    total: int | None = 1
    items: Any = None
    limit: int = 1
    frames: int = 1


def beginning(step: Step, scope: Mapping[str, Any]) -> Beginning:
    """Evaluate a step's admission, its loop's bound and its collection, which may be a table where only a worker asks.

    Raises ExpressionError, or NeedsPayload if only a worker can tell.
    """
    if step.admit is not None and not evaluate(step.admit, scope):
        return Beginning(admitted=False, total=0)
    if step.loop is None:
        return Beginning(total=0 if step.tool is None else 1)
    bound = _bound(step.loop, step.name, scope)
    if step.loop.items is None:
        rows = count_of(step.loop.row_concurrency, scope.get("workload", {}))
        return Beginning(total=None, limit=bound * rows, frames=bound)
    items = evaluate(step.loop.items, scope)
    if isinstance(items, Ref):
        raise NeedsPayload(step.name)
    rows = count_of(step.loop.rows or 1, scope.get("workload", {}))
    total = items if isinstance(items, int) else -(-len(items) // rows)
    return Beginning(total=total, items=items, limit=bound)


def told(begun: Beginning) -> Mapping[str, Value]:
    """How a step begins, as the result of its ITEMS block: the owner takes it over from there."""
    return {
        "admitted": begun.admitted,
        "items": begun.items,
        "total": begun.total,
        "limit": begun.limit,
        "frames": begun.frames,
    }


def _open(draft: Execution, step: Step, tokens: tuple[Token, ...], begun: Beginning) -> tuple[Move, ...]:
    if not begun.admitted:
        end = StepFinished(step=step.name, epoch=_epoch(draft, step), status="skipped")
        return _closed(draft, step, tokens, end)
    if isinstance(begun.items, list) and json_size(begun.items) > INLINE_BYTES:
        return _asked(draft, step, tokens)
    return (_entered(draft, step, tokens, begun),)


def _asked(draft: Execution, step: Step, tokens: tuple[Token, ...]) -> tuple[Move, ...]:
    """Entered, and a worker asked how it begins."""
    block = BlockId(step.name, _epoch(draft, step), ITEMS)
    return (
        _entered(draft, step, tokens, Beginning(total=None)),
        BlockOffered(block=block, attempt=0, segment=0),
    )


def _bound(loop: Loop, step: str, scope: Mapping[str, Value]) -> int:
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


def _entered(draft: Execution, step: Step, tokens: tuple[Token, ...], begun: Beginning) -> StepEntered:
    loop: Loop | None = step.loop
    return StepEntered(
        step=step.name,
        epoch=_epoch(draft, step),
        total=begun.total,
        items=begun.items,
        loop=loop is not None,
        parallel=loop is not None and loop.parallel,
        on_error=loop.on_error if loop is not None else "fail",
        limit=begun.limit,
        tokens=len(tokens),
        via=tokens[-1].via,
        args=tokens[-1].args,
        grows=loop is not None and loop.grows,
        frames=begun.frames,
    )
