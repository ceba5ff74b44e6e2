"""Which decisions fall to a fact that came between their making and their record: those it could have changed, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.events import (
    BlockClaimed,
    BlockCompleted,
    BlockFailed,
    BlockId,
    Decision,
    Event,
    Retry,
)
from tests.histories.blueprints import arc, loop, plan, step
from tests.histories.builder import BROKEN, History, history


def outcome(step: str, iteration: int = 0, **more: Any) -> BlockCompleted:
    life: dict[str, Any] = {"block": BlockId(step, 0, iteration), "attempt": 0, "segment": 0, "run": "r"}
    return BlockCompleted(**life, result=1, time=0.0, **more)


def beside_a_loop(*, parallel: bool = False, done: int = 0) -> tuple[History, Decision]:
    """A loop of four runs beside a step that has just ended: the history, and the decision about that step."""
    repeated = loop(4, limit=4, parallel=parallel)
    blueprint = plan(
        step("start", "each", "other", inclusive=True),
        step("each", loop=repeated),
        step("other", arc("told", lambda s: s["ctx"].get("x") == 1), arc("untold")),
        step("told"),
        step("untold"),
    )
    log = history(blueprint).requested().completed("start")
    for index in range(done):
        log.completed("each", iteration=index)
    log.completed("other")
    return log, log.decision(log.decided())


def verdict(log: History, decision: Decision, *between: Event) -> str:
    for event in between:
        assert log.fold(event).verdict == "accepted"
    return log.fold(decision).verdict


def test_an_outcome_in_the_middle_of_a_loop_matters_to_its_own_loop_alone() -> None:
    log, decision = beside_a_loop(parallel=True)

    assert verdict(log, decision, outcome("each", 1), outcome("each", 2)) == "accepted"


def test_the_last_outcome_of_a_loop_matters_to_others_too() -> None:
    log, decision = beside_a_loop(parallel=True, done=3)

    assert verdict(log, decision, outcome("each", 3)) == "stale"


def test_an_outcome_that_writes_a_variable_matters_to_whoever_may_read_it() -> None:
    log, decision = beside_a_loop()

    assert verdict(log, decision, outcome("each", writes={"ctx.x": 1})) == "stale"
    assert "told" in log.running()
    assert "untold" not in log.entered()


def test_a_parallel_iterations_variables_matter_only_at_the_loops_end() -> None:
    log, decision = beside_a_loop(parallel=True)

    assert verdict(log, decision, outcome("each", writes={"ctx.x": 1})) == "accepted"
    assert "untold" in log.running()


@pytest.mark.parametrize("retry", [None, Retry(after=1.0)])
def test_a_failure_in_a_loop_matters_to_others_too(retry: Retry | None) -> None:
    log, decision = beside_a_loop(parallel=True)
    key = BlockId("each", 0, 2)

    failed = BlockFailed(block=key, attempt=0, segment=0, run="r", error=BROKEN, retry=retry, time=log.now)

    assert verdict(log, decision, failed) == "stale"


def test_two_steps_that_end_together_are_decided_together_or_one_after_the_other() -> None:
    """Two decisions on one state could take both arms of a choice."""
    blueprint = plan(
        step("start", "a", "b", inclusive=True),
        step("a", arc("first", lambda s: "b" not in s["steps"]), writes=lambda s: {"ctx.x": 1}),
        step("b", arc("first", lambda s: "x" not in s["ctx"])),
        step("first"),
    )
    log = history(blueprint).requested().completed("start").completed("a")
    decision = log.decision(log.decided())

    assert verdict(log, decision, outcome("b")) == "stale"
    assert log.running() == ["first"]
    assert [token.via for token in log.execution.tokens.get("first", ())] == []


def test_an_offer_alone_stands_whatever_came_before_it_but_a_stop() -> None:
    log = history(plan(step("each", loop=loop(9, limit=3, parallel=True)))).requested().completed("each")
    decision = log.decision(log.decided())
    failed = BlockFailed(
        block=BlockId("each", 0, 1),
        attempt=0,
        segment=0,
        run="r",
        error=BROKEN,
        retry=Retry(after=1.0),
        time=log.now,
    )

    assert verdict(log, decision, failed) == "accepted"
    assert sorted(log.running()) == ["each[1]", "each[2]", "each[3]"]


def test_an_offer_again_falls_to_a_lease_that_was_renewed_before_it() -> None:
    log = history(plan(step("long"))).requested().claimed("long", lease=30.0).later(30.0)
    again = log.decision(log.decided())
    life: dict[str, Any] = {"block": BlockId("long", 0, 0), "attempt": 0, "segment": 0, "run": "run"}

    assert verdict(log, again, BlockClaimed(**life, renew_by=log.now + 30.0, time=log.now)) == "stale"
    assert log.decided() == ()
