"""Counts that an author may leave to the inputs: rows of a slice or a claim, arrivals that open a join."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

from noetl_stream.core.plan import Count, Expression, Plan
from noetl_stream.core.values import Value
from noetl_stream.errors import ExpressionError


def count_of(count: Count, workload: Mapping[str, Value]) -> int:
    """The whole number from 1. Raises ExpressionError if the inputs yield none."""
    if isinstance(count, int):
        return count
    found = count.evaluate(ChainMap({"workload": workload}, dict(workload)))
    if not isinstance(found, int) or found < 1:
        raise ExpressionError(
            f"a whole number from 1 is wanted, not {found!r:.40}", text=count.text, place="inputs"
        )
    return found


def number_of(number: Expression, workload: Mapping[str, Value]) -> float:
    """A number above 0 that the inputs settle. Raises ExpressionError if they yield none."""
    found = number.evaluate(ChainMap({"workload": workload}, dict(workload)))
    if not isinstance(found, int | float) or found <= 0:
        raise ExpressionError(
            f"a number above 0 is wanted, not {found!r:.40}", text=number.text, place="inputs"
        )
    return found


def check_counts(plan: Plan, workload: Mapping[str, Value]) -> None:
    """Evaluate every count of a plan, so that none fails once the execution runs. Raises ExpressionError."""
    loops = (step.loop for step in plan.steps.values() if step.loop is not None)
    for number in (each for loop in loops for each in loop.frame.values()):
        number_of(number, workload)
    for step in plan.steps.values():
        sizes = () if step.loop is None else step.loop.sizes
        for each in (step.join, *sizes):
            if isinstance(each, Expression):
                count_of(each, workload)
