"""Where tokens stand and where they may go: joins, reachability, and the arcs out of a finished step."""

from __future__ import annotations

from noetl_stream.core.execution import Execution
from noetl_stream.core.plan import Plan, Step


def is_join(plan: Plan, step: str) -> bool:
    """A step with arcs from several distinct earlier steps."""
    return len(plan.upstream[step]) > 1


def may_enter(plan: Plan, execution: Execution, step: str) -> bool:
    """Whether a waiting token may enter now: the step is free and, at a join, nobody else is still to come."""
    if step in execution.runs:
        return False
    if not is_join(plan, step):
        return True
    if plan.steps[step].join == "all":
        return not any(_still_to_come(plan, execution, step, up) for up in plan.upstream[step])
    return len({t.via for t in execution.tokens[step]}) >= _quorum(plan.steps[step])


def _quorum(step: Step) -> int:
    return step.join if isinstance(step.join, int) else 1


def _still_to_come(plan: Plan, execution: Execution, join: str, up: str) -> bool:
    """An upstream step that runs, waits for its turn, or has not finished since the join last ran but can be reached."""
    if up in execution.runs or up in execution.tokens:
        return True
    finished = execution.finished.get(up)
    if finished is not None and finished.seq > execution.entered.get(join, -1):
        return False
    return any(up in plan.ahead[live] for live in _live(execution) if live != join)


def _live(execution: Execution) -> set[str]:
    return {*execution.runs, *execution.tokens}
