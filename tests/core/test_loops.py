"""A loop runs its body once an item: how many at once, what failures do, what its readers see."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.decide import MOVES_PER_DECISION
from noetl_stream.core.messages import Offer, StoreChunk
from noetl_stream.core.plan import Plan
from noetl_stream.core.snapshot import dump
from noetl_stream.core.values import Error, Ref, Result, Value
from tests.histories.blueprints import arc, expression, loop, plan, seen, step
from tests.histories.builder import History, history


def looping(items: Any, *, then: str | None = None, **more: Any) -> Plan:
    """A loop step named `each`, and perhaps a step behind it."""
    behind = [] if then is None else [step(then)]
    return plan(step("each", *([] if then is None else [then]), loop=loop(items, **more)), *behind)


def items_offered(log: History) -> list[Value]:
    log.each("each")
    return [offer.item for offer in log.messages(Offer) if offer.block.step == "each"]


@pytest.mark.parametrize(
    ("collection", "items"),
    [
        (["a", "b"], ["a", "b"]),
        (3, [0, 1, 2]),
        ([None], [None]),
    ],
    ids=["list", "count", "a list of null"],
)
def test_a_loop_runs_over(collection: Value, items: list[Value]) -> None:
    assert items_offered(history(looping(collection)).requested()) == items


def test_a_loop_without_a_collection_fails_its_step_and_says_why() -> None:
    log = history(looping(None)).requested().settled()

    assert log.status == "FAILED"
    assert log.error is not None
    assert (log.error.kind, log.error.step) == ("validation", "each")
    assert "a loop goes over a list, not null" in log.error.message
    assert "key 'loop.in'" in log.error.message


@pytest.mark.parametrize("collection", [[], 0])
def test_an_empty_loop_is_done_at_once(collection: Value) -> None:
    log = history(looping(collection, then="after")).requested()

    assert log.running() == ["after"]
    assert log.messages(Offer)[0].block.step == "after"
    assert log.execution.results["each"] == {
        "results": [],
        "data": [],
        "stats": {"total": 0, "success": 0, "failed": 0},
        "count": 0,
        "status": "ok",
    }


def test_a_sequential_loop_has_one_iteration_in_flight_whatever_its_limit() -> None:
    log = history(looping(3, limit=16)).requested()

    assert log.running() == ["each[0]"]
    assert log.completed("each").running() == ["each[1]"]


def test_a_limit_that_is_a_template_is_evaluated_when_the_step_is_entered() -> None:
    bound = expression(lambda scope: scope["workload"]["width"])
    blueprint = plan(step("each", loop=loop(5, parallel=True, bound=bound)))

    log = history(blueprint).requested(payload={"width": 3})

    assert log.running() == ["each[0]", "each[1]", "each[2]"]


@pytest.mark.parametrize("width", [0, -1, 2.5, "many", None])
def test_a_limit_that_is_no_count_fails_the_step_and_says_so(width: Value) -> None:
    bound = expression(lambda scope: scope["workload"]["width"])
    blueprint = plan(step("each", loop=loop(5, parallel=True, bound=bound)))

    log = history(blueprint).requested(payload={"width": width}).settled()

    assert log.error is not None
    assert "`max_in_flight` is a whole number from 1" in log.error.message


def test_a_parallel_loop_has_as_many_in_flight_as_its_limit() -> None:
    log = history(looping(5, limit=2, parallel=True)).requested()

    assert log.running() == ["each[0]", "each[1]"]
    assert log.completed("each", iteration=1).running() == ["each[0]", "each[2]"]


def test_results_stand_in_index_order_however_they_arrived() -> None:
    log = history(looping(["a", "b", "c"], limit=3, parallel=True)).requested()

    for index in (2, 0, 1):
        log.completed("each", index * 10, iteration=index)
    log.settled()

    assert log.result == {
        "results": [0, 10, 20],
        "data": [0, 10, 20],
        "stats": {"total": 3, "success": 3, "failed": 0},
        "count": 3,
        "status": "ok",
    }


def test_a_failed_iteration_fails_the_loop_after_those_in_flight() -> None:
    log = history(looping(5, limit=2, parallel=True)).requested().failed("each")

    assert log.running() == ["each[1]"]

    log.completed("each", iteration=1).settled()

    assert (log.status, log.error and log.error.step) == ("FAILED", "each")
    assert len(log.messages(Offer)) == 2


def test_the_first_failed_iteration_is_the_loops_error() -> None:
    log = history(looping(2, limit=2, parallel=True)).requested()

    log.failed("each", error=Error(kind="sql", message="first"), iteration=1)
    log.failed("each", error=Error(kind="sql", message="second")).settled()

    assert log.error is not None
    assert log.error.message == "first"


def test_a_loop_that_continues_keeps_each_failure_in_its_place() -> None:
    log = history(looping(3, on_error="continue", then="after")).requested()

    log.completed("each", "a").failed("each", iteration=1, result="half").completed("each", "c", iteration=2)

    assert log.running() == ["after"]
    result = log.execution.results["each"]
    assert result["stats"] == {"total": 3, "success": 2, "failed": 1}
    assert result["status"] == "partial"
    assert result["results"] == [
        "a",
        {
            "status": "error",
            "error": {"kind": "server_error", "message": "the server is on fire"},
            "data": "half",
        },
        "c",
    ]


def test_a_retried_iteration_holds_its_place_in_the_limit() -> None:
    log = history(looping(3, limit=2, parallel=True)).requested().failed("each", retry=5.0)

    assert log.running() == ["each[0]", "each[1]"]
    assert log.decided() == ()
    assert log.later(5.0).offer("each", 0).attempt == 1


def test_the_event_of_a_finished_loop_is_loop_done() -> None:
    blueprint = plan(
        step("each", arc("after", lambda s: s["event"]["name"] == "loop.done"), loop=loop(1)), step("after")
    )

    assert history(blueprint).requested().completed("each").running() == ["after"]


def test_a_parallel_iterations_ctx_writes_count_at_the_loops_end_the_last_index_last() -> None:
    blueprint = plan(
        step("each", writes=lambda s: {"ctx.read": s["ctx"]["who"]}, loop=loop(3, limit=3, parallel=True))
    )
    log = history(blueprint).requested()

    log.completed("each", iteration=2, writes={"ctx.who": 2})
    log.completed("each", iteration=0, writes={"ctx.who": 0, "ctx.first": True})

    assert log.ctx == {}

    log.completed("each", iteration=1, writes={"ctx.who": 1}).settled()

    assert log.ctx == {"who": 2, "first": True, "read": 2}


def test_an_iterations_writes_over_several_segments_come_together() -> None:
    log = history(looping(1, parallel=True)).requested()

    log.slept("each", 1.0, writes={"ctx.a": 1}).later(1.0).completed("each", writes={"ctx.b": 2}).settled()

    assert log.ctx == {"a": 1, "b": 2}


def test_a_sequential_iterations_ctx_writes_are_seen_by_the_next() -> None:
    blueprint = plan(step("each", loop=loop(2), reads=frozenset({("ctx", "sum")})))
    log = history(blueprint).requested().completed("each", writes={"ctx.sum": 5})

    assert log.offer("each", 1).ctx == {"sum": 5}


def test_an_iterations_own_variables_stay_its_own() -> None:
    blueprint = plan(step("each", writes=lambda s: {"ctx.left": dict(s["iter"])}, loop=loop(1)))

    log = history(blueprint).requested().completed("each", writes={"iter.x": 1, "step.y": 2}).settled()

    assert log.ctx == {"left": {}}


def test_a_set_reads_the_whole_loops_result() -> None:
    blueprint = plan(
        step("each", writes=lambda s: {"ctx.sum": sum(seen(s["each"])["results"])}, loop=loop(4))
    )

    assert history(blueprint).requested().each("each").ctx == {"sum": 6}


def test_the_collection_is_not_rendered_again_for_later_iterations() -> None:
    rendered = []

    def items(scope: Any) -> list[int]:
        rendered.append(1)
        return [7, 8]

    log = history(looping(items)).requested().settled()
    rendered.clear()
    log.each("each")

    assert (log.status, rendered) == ("COMPLETED", [])


def test_a_very_wide_loop_is_offered_in_decisions_of_bounded_length() -> None:
    log = history(looping(5_000, limit=5_000, parallel=True)).requested()

    assert len(log.decided()) <= 2 * MOVES_PER_DECISION
    assert len(log.running()) == 5_000


def test_timers_that_fire_together_are_answered_in_decisions_of_bounded_length() -> None:
    log = history(looping(3_000, limit=3_000, parallel=True)).requested().settled().later(600.0)

    assert len(log.decided()) <= 2 * MOVES_PER_DECISION
    log.settled()
    assert len(log.messages(Offer)) == 6_000


def chunked(total: int, **more: Any) -> History:
    return history(looping(total, limit=total, parallel=True, then="after", **more)).requested().settled()


def test_a_big_loop_hands_full_chunks_to_the_cache_and_keeps_a_reference() -> None:
    log = chunked(2_500)
    for index in reversed(range(2_500)):
        log.completed("each", index, iteration=index)
    log.settled()

    base = f"loops/{log.execution.id}/each/0"
    assert [(chunk.name, chunk.results[:2]) for chunk in log.messages(StoreChunk)] == [
        (f"{base}/2", (2000, 2001)),
        (f"{base}/1", (1000, 1001)),
        (f"{base}/0", (0, 1)),
    ]
    assert sum(len(chunk.results) for chunk in log.messages(StoreChunk)) == 2_500
    result = log.execution.results["each"]
    assert isinstance(result, Ref)
    assert (result.uri, result.format, result.rows) == (base, "chunks", 2_500)
    assert result.parts["stats"] == {"total": 2_500, "success": 2_500, "failed": 0}
    assert result.parts["stats.total"] == 2_500


def test_results_too_large_for_an_event_leave_as_one_chunk_when_the_loop_ends() -> None:
    log = history(looping(100, then="after")).requested().each("each", lambda index: "x" * 1_000)

    (chunk,) = log.messages(StoreChunk)
    assert (chunk.name, len(chunk.results)) == (f"loops/{log.execution.id}/each/0/0", 100)
    assert isinstance(log.execution.results["each"], Ref)
    assert log.execution.weights["each"] == 0


def test_a_big_loop_that_fails_leaves_no_reference_to_what_never_came() -> None:
    blueprint = plan(
        step("each", arc("mend", on="error"), loop=loop(1_500, limit=2, parallel=True)), step("mend")
    )
    log = history(blueprint).requested().failed("each").completed("each", iteration=1)

    assert log.running() == ["mend"]
    assert "each" not in log.execution.results


def test_readers_see_a_loops_result_as_a_result() -> None:
    blueprint = plan(
        step("each", "after", loop=loop(1)), step("after", admit=lambda s: isinstance(s["each"], Result))
    )

    assert history(blueprint).requested().completed("each").running() == ["after"]


@pytest.mark.slow
def test_the_state_of_a_running_loop_does_not_grow_with_it() -> None:
    log = history(looping(20_000, limit=10, parallel=True)).requested().settled()
    sizes = []
    for index in range(12_000):
        log.completed("each", index, iteration=index)
        if index % 1_000 == 500:
            sizes.append(len(dump(log.execution)))

    assert max(sizes) < 1.5 * min(sizes)
