"""Random plans and random histories of them: any world that the language could compile to, and any luck it may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from hypothesis import strategies as st

from noetl_stream.core.block import OFFER_TIMEOUT, Block
from noetl_stream.core.events import ITEMS, ROUTE, BlockId, StepFinished, Target
from noetl_stream.core.finishing import routed
from noetl_stream.core.plan import Plan, Scope, Step
from noetl_stream.core.values import NeedsPayload, Ref, Result, Value
from noetl_stream.errors import ExpressionError
from tests.histories.blueprints import arc, loop, plan, seen, step
from tests.histories.builder import History, history

BIG = Ref(uri="s3://cache/big", bytes=10**6, sha256="00", format="json")
LAPS = 2
"""How often an arc back is taken at most."""


def conditions(bits: int) -> Callable[[Scope], bool]:
    """A condition that reads a result: a reference hides it, an odd text cannot be compared."""

    def holds(scope: Scope) -> bool:
        found = seen(scope["result"]) if isinstance(scope["result"], Result) else scope["result"]
        if isinstance(found, Ref):
            raise NeedsPayload("everything")
        if found == "odd":
            raise ExpressionError("cannot compare", text="result > 0", place="a condition")
        return bool(found) if bits % 2 else True

    return holds


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """One to five steps with any arcs forward, some arcs back, some loops, some joins that wait for few."""
    count = draw(st.integers(1, 5))
    return plan(*(_step(draw, index, count) for index in range(count)))


def _step(draw: st.DrawFn, index: int, count: int) -> Callable[[int], Step]:
    arcs = [_forward(draw, target) for target in range(index + 1, count) if draw(st.integers(0, 2))]
    if draw(st.integers(0, 3)) == 0:
        arcs.append(_back(index, draw(st.integers(0, index))))
    more: dict[str, Any] = {
        "inclusive": draw(st.booleans()),
        "join": draw(st.sampled_from(["all", "all", "any", 2])),
    }
    if draw(st.integers(0, 4)) == 0:
        more["tool"] = None
    elif draw(st.integers(0, 2)) == 0:
        more["loop"] = _loop(draw)
    return step(f"s{index}", *arcs, writes=lambda s: _lap(s, index), **more)


def _lap(scope: Scope, index: int) -> dict[str, Value]:
    return {f"ctx.laps{index}": scope["ctx"].get(f"laps{index}", 0) + 1}


ON: st.SearchStrategy[Literal["error"] | None] = st.sampled_from([None, None, "error"])


def _forward(draw: st.DrawFn, target: int) -> Any:
    when = draw(st.sampled_from([None, 0, 1]))
    on = draw(ON)
    return arc(f"s{target}", None if when is None else conditions(when), on=on)


def _back(index: int, target: int) -> Any:
    return arc(f"s{target}", lambda s: s["ctx"].get(f"laps{index}", 0) < LAPS)


def _loop(draw: st.DrawFn) -> Any:
    return loop(
        draw(st.sampled_from([0, 1, 3, ["a", "b"], BIG, None])),
        limit=draw(st.integers(1, 3)),
        parallel=draw(st.booleans()),
        on_error=draw(st.sampled_from(["fail", "continue"])),
    )


def wander(blueprint: Plan, luck: list[int]) -> History:
    """A history in which each number says what happens next."""
    log = history(blueprint).requested()
    for number in luck:
        if log.settled().execution.over:
            break
        blocks = list(log.execution.blocks.items())
        key, block = blocks[number % len(blocks)]
        _befall(log, key, block, number // 8)
    return log.settled()


def finish(log: History, bound: int = 2_000) -> History:
    """Fortune turns: whatever still runs is completed, whatever waits gets what it waits for."""
    for _ in range(bound):
        if log.settled().execution.over:
            break
        key, block = next(iter(log.execution.blocks.items()))
        _complete(log, key, block)
    return log


def _complete(log: History, key: BlockId, block: Block) -> None:
    match block.status:
        case "offered" | "claimed":
            log.completed(key.step, _result(log, key, 1), iteration=key.iteration)
        case "started":
            log.child_ended(key.step, result=1, iteration=key.iteration)
        case "asking":
            log.answered(1, log.token(key.step, iteration=key.iteration))
        case _:
            log.later(OFFER_TIMEOUT)


def _result(log: History, key: BlockId, number: int) -> Value:
    if key.iteration == ITEMS:
        return {"items": BIG, "total": number % 4}
    if key.iteration == ROUTE:
        return routed(StepFinished(step=key.step, epoch=key.epoch, status="done", targets=_ahead(log, key)))
    return [0, 1, "odd", BIG, {"a": [1]}][number % 5]


def _ahead(log: History, key: BlockId) -> tuple[Target, ...]:
    steps = log.plan.steps
    here = steps[key.step]
    return tuple(Target(step=a.target) for a in here.arcs if steps[a.target].index > here.index)[:1]


def _befall(log: History, key: BlockId, block: Block, number: int) -> None:
    """Something happens to a block, or to the world around it."""
    at: dict[str, Any] = {"iteration": key.iteration}
    match number % 10:
        case 0 | 1 | 2 if block.status in ("offered", "claimed"):
            writes = {"ctx.x": number, "step.y": number} if number % 3 == 0 else {}
            log.completed(key.step, _result(log, key, number), writes=writes, **at)
        case 3:
            log.failed(key.step, **at)
        case 4:
            log.failed(key.step, retry=float(number % 7), writes={"ctx.tried": number}, **at)
        case 5:
            log.slept(key.step, float(number % 7), **at)
        case 6:
            log.called(key.step, timeout=None if number % 2 else 30.0, wait=number % 3 > 0, **at)
        case 7:
            log.claimed(key.step, lease=float(number % 50), **at)
        case 8:
            log.later(float(number % 900))
        case 9 if number % 7 == 0:
            log.cancelled()
        case 9 if number % 3 == 0:
            log.asked(key.step, within=None if number % 2 else 30.0, **at)
        case 9 if number % 3 == 1:
            log.answered(number, log.token(key.step, **at))
        case _:
            log.child_ended(key.step, **at)


def histories(longest: int = 40) -> st.SearchStrategy[History]:
    luck = st.lists(st.integers(0, 10_000), max_size=longest)
    return st.builds(wander, plans(), luck)
