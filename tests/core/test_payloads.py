"""Where a decision would need a value that stands in the cache, a block on a worker finds out."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.events import ITEMS, ROUTE, BlockId, StepEntered, StepFinished, Target
from noetl_stream.core.finishing import routed
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan
from noetl_stream.core.run import INLINE_BYTES
from noetl_stream.core.values import Error, NeedsPayload, Ref, Value
from tests.histories.blueprints import arc, loop, plan, seen, step
from tests.histories.builder import history

BIG = Ref(uri="s3://cache/big", bytes=10**6, sha256="00", format="json", parts={"count": 3})


def payload(scope: Any) -> Value:
    """What a template does that reads beyond a reference's parts."""
    raise NeedsPayload("rows")


def routing(**more: Any) -> Plan:
    arcs = (arc("many", payload, args=lambda s: {"a": 1}), arc("mend", on="error"))
    return plan(step("load", *arcs, **more), step("many"), step("mend"))


def test_a_condition_on_a_referenced_value_becomes_a_routing_block() -> None:
    log = history(routing()).requested().completed("load", BIG)

    assert log.running() == ["load[-2]"]


def test_a_routing_block_is_told_how_the_step_ended() -> None:
    log = (
        history(routing())
        .requested()
        .completed("load", BIG, http={"status": 200}, tries=2, duration_ms=5.0, writes={"step.x": 1})
    )

    assert log.offer("load", ROUTE).resume == {
        "result": BIG,
        "http": {"status": 200},
        "tries": 2,
        "duration_ms": 5.0,
        "loop": False,
        "variables": {"step.x": 1},
        "findings": None,
        "error": None,
    }


def test_what_the_routing_block_concluded_is_the_steps_ending() -> None:
    log = history(routing()).requested().completed("load", BIG)
    found = StepFinished(
        step="load",
        epoch=0,
        status="done",
        targets=(Target(step="many", args={"a": 1}),),
        writes={"ctx.n": 3},
    )

    log.completed("load", routed(found), iteration=ROUTE)

    assert log.running() == ["many"]
    assert (log.ctx, log.offer("many").args) == ({"n": 3}, {"a": 1})
    assert log.execution.results["load"] == BIG


def test_a_routing_block_that_concluded_a_failure_fails_the_step() -> None:
    log = history(routing()).requested().completed("load", BIG)

    log.completed(
        "load", {"targets": [], "writes": {"ctx.n": 3}, "error": "division by zero"}, iteration=ROUTE
    )
    log.settled()

    assert (log.status, log.error) == (
        "FAILED",
        Error(kind="validation", message="division by zero", step="load"),
    )


def test_a_failure_that_the_routing_block_concluded_may_have_somewhere_to_go() -> None:
    log = history(routing()).requested().completed("load", BIG)
    error = Error(kind="validation", message="division by zero")
    found = StepFinished(step="load", epoch=0, status="failed", error=error, targets=(Target(step="mend"),))

    assert log.completed("load", routed(found), iteration=ROUTE).running() == ["mend"]


def test_a_routing_block_that_fails_fails_the_step_which_keeps_its_arcs_for_failures() -> None:
    log = history(routing()).requested().completed("load", BIG).failed("load", iteration=ROUTE)

    assert log.running() == ["mend"]


def test_a_failed_step_too_is_routed_by_a_block_where_only_the_payload_tells() -> None:
    blueprint = plan(step("load", arc("mend", payload, on="error")), step("mend"))
    log = history(blueprint).requested().failed("load", result=BIG)
    assert log.running() == ["load[-2]"]
    told = log.offer("load", ROUTE).resume
    assert (told["result"], told["error"]["kind"]) == (BIG, "server_error")

    error = Error(**told["error"])
    found = StepFinished(step="load", epoch=0, status="failed", error=error, targets=(Target(step="mend"),))

    assert log.completed("load", routed(found), iteration=ROUTE).running() == ["mend"]


def test_a_failed_step_that_no_block_can_route_fails_the_execution() -> None:
    blueprint = plan(step("load", arc("mend", payload, on="error")), step("mend"))

    log = history(blueprint).requested().failed("load").failed("load", iteration=ROUTE).settled()

    assert (log.status, log.error and log.error.step) == ("FAILED", "load")


def test_a_routing_block_sees_what_a_parallel_loops_iterations_wrote() -> None:
    blueprint = plan(step("each", arc("after", payload), loop=loop(1, parallel=True)), step("after"))

    log = history(blueprint).requested().completed("each", BIG, writes={"ctx.x": 1})

    # The arc reads everything, so that its block is sent everything.
    assert log.offer("each", ROUTE).ctx == {"x": 1}
    assert log.ctx == {}


def test_a_collection_in_the_cache_is_brought_by_a_block() -> None:
    log = history(plan(step("each", loop=loop(BIG, limit=2, parallel=True)))).requested()

    assert log.running() == ["each[-1]"]

    log.completed("each", {"items": BIG, "total": 3, "limit": 2, "frames": 1}, iteration=ITEMS)

    assert log.running() == ["each[0]", "each[1]"]
    assert (log.offer("each").items, log.offer("each").item, log.offer("each").total) == (BIG, None, 3)


def test_a_collection_that_only_a_worker_can_evaluate_is_brought_by_a_block() -> None:
    assert history(plan(step("each", loop=loop(payload)))).requested().running() == ["each[-1]"]


def test_a_collection_too_large_for_an_event_is_brought_by_a_block() -> None:
    log = history(plan(step("each", loop=loop(["x" * 1_000] * 100)))).requested()

    assert log.decided()[1] == StepEntered(step="each", epoch=0, total=None, loop=True)
    assert log.running() == ["each[-1]"]


def test_a_collection_that_just_fits_stays_in_the_log() -> None:
    fits = ["x" * (INLINE_BYTES - 4)]

    assert history(plan(step("each", loop=loop(fits)))).requested().running() == ["each[0]"]


@pytest.mark.parametrize("brought", [3, ["a", "b", "c"]], ids=["count", "list"])
def test_a_brought_collection_may_be_small_after_all(brought: Value) -> None:
    log = history(plan(step("each", loop=loop(payload)))).requested()

    log.completed("each", {"items": brought, "total": 3}, iteration=ITEMS).each("each")

    assert (log.status, len(log.messages(Offer))) == ("COMPLETED", 4)


def test_a_brought_collection_may_be_empty() -> None:
    log = history(plan(step("each", loop=loop(payload)))).requested()

    log.completed("each", {"items": [], "total": 0}, iteration=ITEMS).settled()

    assert (log.status, log.result["results"]) == ("COMPLETED", [])


@pytest.mark.parametrize("brought", [None, {"items": "text", "total": 1}, {"items": [1]}])
def test_a_block_that_brings_no_collection_fails_the_step(brought: Value) -> None:
    log = history(plan(step("each", loop=loop(payload)))).requested()

    log.completed("each", brought, iteration=ITEMS).settled()

    assert (log.status, log.error and log.error.step) == ("FAILED", "each")


@pytest.mark.parametrize("concluded", [None, {}, {"targets": "many", "writes": {}, "error": None}])
def test_a_routing_block_that_concludes_nothing_fails_the_step(concluded: Value) -> None:
    log = history(routing()).requested().completed("load", BIG)

    assert log.completed("load", concluded, iteration=ROUTE).running() == ["mend"]


def test_a_collection_that_cannot_be_brought_fails_the_step() -> None:
    blueprint = plan(step("each", arc("mend", on="error"), loop=loop(payload)), step("mend"))

    assert history(blueprint).requested().failed("each", iteration=ITEMS).running() == ["mend"]


@pytest.mark.parametrize(("admitted", "running"), [(True, ["after"]), (False, [])])
def test_an_admission_that_reads_a_referenced_value_is_asked_of_a_worker(
    admitted: bool, running: list[str]
) -> None:
    log = history(plan(step("load", "after"), step("after", "no", admit=payload), step("no"))).requested()
    assert log.completed("load", BIG).running() == ["after[-1]"]

    found = {"admitted": admitted, "items": None, "total": int(admitted), "limit": 1, "frames": 1}
    log.completed("after", found, iteration=ITEMS)

    assert log.running() == running
    assert admitted or log.execution.finished["after"].status == "skipped"


def test_the_brought_collection_is_no_iteration() -> None:
    """Its tries, its time and its result are nobody's but the collection's."""
    log = history(plan(step("each", loop=loop(payload)))).requested()
    log.completed("each", {"items": 1, "total": 1}, iteration=ITEMS, tries=5, duration_ms=9.0)

    log.each("each")

    ended = log.execution.finished["each"]
    assert (ended.tries, ended.iterations, ended.duration_ms) == (1, 1, 0.0)


def test_a_reference_is_a_value_like_any_other_to_whoever_does_not_look_inside() -> None:
    blueprint = plan(step("load", "after", writes=lambda s: {"ctx.ref": seen(s["load"])}), step("after"))

    log = history(blueprint).requested().completed("load", BIG)

    assert log.running() == ["after"]
    assert log.ctx == {"ref": BIG}
    assert BlockId("load", 0, ROUTE) not in log.execution.blocks
