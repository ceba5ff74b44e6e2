"""Loops whose length nobody knows yet: as long as a condition holds, or as long as a cursor claims rows."""

from __future__ import annotations

from collections.abc import Mapping

from noetl_stream.core.events import ITEMS, PROBES, BlockId, BlockOffered, LoopClosed, Move
from noetl_stream.core.execution import Execution
from noetl_stream.core.plan import Loop, Plan
from noetl_stream.core.run import Run
from noetl_stream.core.scope import evaluate
from noetl_stream.core.sites import between
from noetl_stream.core.values import Error, NeedsPayload, Value
from noetl_stream.errors import ExpressionError


def grow(plan: Plan, draft: Execution, name: str, run: Run, now: float) -> tuple[Move, ...]:
    """Ask for more: a cursor by probes, up to its frames in flight; a condition here, or by a probe where it reads a reference."""
    loop = plan.steps[name].loop
    assert loop is not None  # only a loop grows
    if BlockId(name, run.epoch, ITEMS) in draft.blocks:
        return ()  # how it begins is not known yet
    if loop.while_ is None:
        wanted = 0 if run.dry else run.frames - len(run.batches) - run.probing
        return tuple(_probe(name, run, k) for k in range(run.probes, run.probes + wanted))
    return () if run.open else _while(plan, draft, name, loop, run, now)


def _while(plan: Plan, draft: Execution, name: str, loop: Loop, run: Run, now: float) -> tuple[Move, ...]:
    assert loop.while_ is not None
    try:
        goes_on = evaluate(loop.while_, between(plan, draft, name, run, now))
    except NeedsPayload:
        return (_probe(name, run, run.probes),)
    except ExpressionError as error:
        why = Error(kind="validation", message=str(error), step=name, place=error.place)
        return (LoopClosed(step=name, epoch=run.epoch, error=why),)
    if goes_on:
        return (first_offer(BlockId(name, run.epoch, run.next)),)
    return (LoopClosed(step=name, epoch=run.epoch),)


def one_more(goes_on: bool) -> Mapping[str, Value]:
    """What a worker made of a condition, as the result of its probe: an iteration about nothing, or none."""
    return {"items": [None] if goes_on else [], "total": int(goes_on)}


def _probe(name: str, run: Run, number: int) -> Move:
    return first_offer(BlockId(name, run.epoch, PROBES - number))


def first_offer(block: BlockId) -> Move:
    return BlockOffered(block=block, attempt=0, segment=0)
