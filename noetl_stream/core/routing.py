"""Where tokens stand and where they may go: joins, reachability, and the arcs out of a finished step."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from noetl_stream.core.counts import count_of
from noetl_stream.core.execution import Execution
from noetl_stream.core.plan import Plan, Step
from noetl_stream.core.values import Value


def is_join(plan: Plan, step: str) -> bool:
    """A step with arcs from several distinct earlier steps."""
    return len(plan.upstream[step]) > 1


def may_enter(plan: Plan, execution: Execution, step: str) -> bool:
    """Whether a waiting token may enter now: the step is free and, at a join, enough of those to come are there."""
    if step in execution.runs:
        return False
    if not is_join(plan, step):
        return True
    came = _came(plan, execution, step)
    if not came:
        return False
    if len(came) >= _quorum(plan.steps[step], execution.workload):
        return True
    return not _more_to_come(plan, execution, step)


def waiting(plan: Plan, execution: Execution) -> set[str]:
    """Steps that a waiting token may yet enter."""
    return {step for step in execution.tokens if _came(plan, execution, step)}


def _quorum(step: Step, workload: Mapping[str, Value]) -> float:
    """How many arrivals open a join without waiting for the others."""
    match step.join:
        case "all":
            return inf
        case "any":
            return 1
        case count:
            return count_of(count, workload)


def _came(plan: Plan, execution: Execution, step: str) -> set[str | None]:
    """Who sent the tokens that wait at a step; those that came too late for a quorum do not count."""
    tokens = execution.tokens[step]
    if plan.steps[step].join == "all" or not is_join(plan, step):
        return {token.via for token in tokens}
    return {token.via for token in tokens if not _late(execution, step, token.via)}


def _late(execution: Execution, join: str, via: str | None) -> bool:
    """Whether a join has run for this token already: its way here began before that run and does not lead past it.

    Only each step's last run is known: where that hides the way (an arm that goes in circles of its own), the token counts.
    """
    ran, at = execution.entered.get(join), inf
    while ran is not None and via is not None and via != join:
        if execution.entered[via] >= at:
            return False
        if execution.entered[via] < ran:
            return True
        at = execution.entered[via]
        via = execution.finished[via].via
    return False


def _more_to_come(plan: Plan, execution: Execution, join: str) -> bool:
    """Whether an upstream step runs, waits for its turn, or can be reached, also again: an arm may hold a cycle."""
    live, upstream = waiting(plan, execution).union(execution.runs), plan.upstream[join]
    if not upstream.isdisjoint(live):
        return True
    return any(not upstream.isdisjoint(plan.ahead[step]) for step in live if step != join)
