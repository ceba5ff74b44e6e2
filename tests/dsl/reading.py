"""A compiled document's parts, as tests ask for them."""

from __future__ import annotations

from typing import Any

from noetl_stream.core.plan import Expression, Loop, Step
from noetl_stream.core.values import Envelope
from noetl_stream.dsl.tasks import Pipeline, Task
from tests.dsl.kinds import compiled


def step(body: str, name: str = "a") -> Step:
    return compiled(body).plan.steps[name]


def pipeline(body: str, name: str = "a") -> Pipeline:
    found = step(body, name).tool
    assert isinstance(found, Pipeline)
    return found


def task(body: str) -> Task:
    return pipeline(body).tasks[0]


def items_of(loop: Loop) -> Expression:
    """The collection of a loop that has one."""
    assert loop.items is not None
    return loop.items


def output(**error: Any) -> dict[str, Any]:
    """The scope's `output` of a task that failed with `error`, or did not fail."""
    return {"output": Envelope({"status": "error" if error else "ok", "data": None, "error": error or None})}
