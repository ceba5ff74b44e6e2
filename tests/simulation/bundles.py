"""Plans whose iterations travel together, wherever the language lets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from noetl_stream.core.plan import Loop, Plan, Step
from tests.simulation.scripts import Script


def together(plans: Mapping[str, Plan], rng: Random) -> dict[str, Plan]:
    """The same plans, their loops in bundles."""
    return {path: _bundled(plan, rng) for path, plan in plans.items()}


def _bundled(plan: Plan, rng: Random) -> Plan:
    return replace(plan, steps={name: _step(step, rng) for name, step in plan.steps.items()})


def _step(step: Step, rng: Random) -> Step:
    script: Script | None = step.tool
    if step.loop is None or step.loop.items is None or script is None:
        return step
    if not step.loop.parallel and (script.writes or script.counts):
        return step
    return replace(step, loop=_loop(step.loop, rng))


def _loop(loop: Loop, rng: Random) -> Loop:
    more = rng.choice((0, 2)) if loop.parallel else 0
    return replace(loop, bundle=rng.randint(2, 4), limit=loop.limit + more, bound=None)
