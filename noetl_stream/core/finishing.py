"""Finishing a step: its `set`, then its arcs, then the chosen arcs' `set` (dsl: order at completion)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from noetl_stream.core.events import ROUTE, BlockId, BlockOffered, Move, StepFinished, Target
from noetl_stream.core.execution import Execution
from noetl_stream.core.plan import Arc, Plan, Step
from noetl_stream.core.run import Run, json_size
from noetl_stream.core.scope import Facts, evaluate
from noetl_stream.core.sites import Ending, bound, facts, leaving, led_here
from noetl_stream.core.values import Error, NeedsPayload, Value
from noetl_stream.errors import ExpressionError

ENDING_BYTES = 32 * 1024
"""What the writes and inputs of one ending take at most in the log. One decision may hold several, and the entries they lead to."""

View: TypeAlias = Callable[[Mapping[str, Value]], Mapping[str, Any]]
"""The scope of a step's ending, after some writes."""


def finish(plan: Plan, draft: Execution, name: str, run: Run, now: float) -> tuple[Move, ...]:
    """The move that ends a step, or the offer of a block that evaluates its ending where only a worker can."""
    end = StepFinished(step=name, epoch=run.epoch, status="failed" if run.error else "done", error=run.error)
    if not run.admitted:
        return (replace(end, status="skipped"),)
    if run.routed is not None:
        return (_routed(end, run.routed),)
    known, ended = ending(plan, draft, name, run, now)
    try:
        end = concluded(plan.steps[name], end, known, ended)
        if run.unroutable or not _is_heavy(end):
            return (end,)
    except NeedsPayload:
        if run.unroutable:
            return (end,)
    return (BlockOffered(block=BlockId(name, run.epoch, ROUTE), attempt=0, segment=0),)


def _is_heavy(end: StepFinished) -> bool:
    """Whether an ending writes and hands on more than belongs into a record: a worker puts it into the cache."""
    values = (*end.writes.values(), *(target.args for target in end.targets))
    return sum(map(json_size, values)) > ENDING_BYTES


def ending(plan: Plan, draft: Execution, name: str, run: Run, now: float) -> tuple[Facts, Ending]:
    """What a step's `set` and arcs may read."""
    after = with_loop_writes(draft, run)
    site = f"{name}/{run.epoch}/out"
    known = facts(plan, after, site, now, via=run.via, error=led_here(draft, run.via))
    ended = Ending(
        step=name,
        result=run.result(draft.id, name),
        error=run.error,
        http=run.http,
        tries=run.tries,
        duration_ms=run.duration_ms,
        loop=run.loop,
        args=run.args,
        variables=_variables(run),
        findings=run.findings,
    )
    return known, ended


def _variables(run: Run) -> Mapping[str, Value]:
    """`step.*` and `iter.*` at the step's end; what parallel iterations wrote counts in their order."""
    return {**run.variables, **{n: v for n, v in run.written.items() if not n.startswith("ctx.")}}


def with_loop_writes(draft: Execution, run: Run) -> Execution:
    """What the iterations of a parallel loop wrote counts from its end on, the last index last."""
    if not run.writes:
        return draft
    late = {n.removeprefix("ctx."): v for n, v in run.written.items() if n.startswith("ctx.")}
    return replace(draft, ctx={**draft.ctx, **late})


def concluded(step: Step, end: StepFinished, known: Facts, ended: Ending) -> StepFinished:
    """A step's ending, whatever becomes of its expressions. Raises NeedsPayload where only a worker can tell."""
    try:
        ended = replace(ended, args=bound(step, known, ended.args))
        found = conclude(step, end, lambda writes: leaving(known, ended, writes))
    except ExpressionError as error:
        why = Error(kind="validation", message=str(error), step=step.name, place=error.place)
        return failing(step, end, known, replace(ended, error=why))
    # No arc matched, and that is a failure: those for failures may still take it.
    return found if found.error == end.error else failing(step, end, known, replace(ended, error=found.error))


def failing(step: Step, end: StepFinished, known: Facts, ended: Ending) -> StepFinished:
    """The ending of a step that an expression of its own has failed: its arcs for failures may still take it."""
    failed = replace(end, status="failed", error=ended.error)
    try:
        return conclude(step, failed, lambda writes: leaving(known, ended, writes))
    except (ExpressionError, NeedsPayload):
        return failed


def conclude(step: Step, end: StepFinished, view: View) -> StepFinished:
    """Evaluate a step's ending. A failed step runs no `set` and takes only arcs that ask for failures."""
    writes: dict[str, Value] = {}
    if step.writes is not None and end.error is None:
        writes |= evaluate(step.writes, view(writes))
    scope = view(writes) if step.reads_to_leave() else {}
    targets = dict[str, Target]()
    for arc in _chosen(step, end, scope):
        if arc.writes is not None:
            writes |= evaluate(arc.writes, scope)
        args = None if arc.args is None else evaluate(arc.args, view(writes))
        targets.setdefault(arc.target, Target(step=arc.target, args=args))
    if not targets and step.arcs and end.error is None and _must_match(step, scope):
        error = Error(kind="validation", message=f"no arc of step '{step.name}' matches", step=step.name)
        return replace(end, status="failed", error=error, writes=writes)
    return replace(end, writes=writes, targets=tuple(targets.values()))


def _must_match(step: Step, scope: Mapping[str, Any]) -> bool:
    strict = step.strict is not None and bool(evaluate(step.strict, scope))
    return strict or step.on_no_match == "fail"


def _chosen(step: Step, end: StepFinished, scope: Mapping[str, Any]) -> Iterator[Arc]:
    for arc in step.arcs:
        if _applies(arc, end) and (arc.when is None or evaluate(arc.when, scope)):
            yield arc
            if not step.inclusive:
                return


def _applies(arc: Arc, end: StepFinished) -> bool:
    if end.error is None:
        return arc.on is None
    return arc.on == "error" or arc.reads_event


def _routed(end: StepFinished, found: Mapping[str, Value]) -> StepFinished:
    """What a worker found out for us: the ending it concluded."""
    targets = tuple(Target(step=t["step"], args=t["args"]) for t in found["targets"])
    end = replace(end, targets=targets, writes=found["writes"])
    if found["error"] is None or end.error is not None:
        return end
    error = Error(kind="validation", message=found["error"], step=end.step)
    return replace(end, status="failed", error=error)


def routed(end: StepFinished) -> Mapping[str, Value]:
    """A worker's conclusion as the result of its ROUTE block: the inverse of what the owner reads from it."""
    return {
        "targets": [{"step": t.step, "args": t.args} for t in end.targets],
        "writes": dict(end.writes),
        "error": None if end.error is None else end.error.message,
    }
