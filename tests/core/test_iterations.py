"""One iteration is stopped or run again: what that does to it, to its loop, and to whoever acts on an older attempt."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.block import IN_FLIGHT, BlockStatus
from noetl_stream.core.events import ITEMS, ROUTE, BlockId, StepFinished
from noetl_stream.core.finishing import routed
from noetl_stream.core.messages import CancelExecution, Offer, StopBlocks, StoreChunk
from noetl_stream.core.plan import Plan
from noetl_stream.core.run import CHUNK
from noetl_stream.core.values import Elsewhere, Error, Ref, Value
from tests.histories.blueprints import arc, chain, loop, plan, step
from tests.histories.builder import EXECUTION, History, history
from tests.histories.lives import BIG, _into, _payload

BAD = Error(kind="python", message="no")


def looping(items: Any = 5, **more: Any) -> Plan:
    given: dict[str, Any] = {"limit": 2, "parallel": True, "on_error": "continue"} | more
    return plan(step("each", loop=loop(items, **given)))


def running(log: History, *iterations: int) -> bool:
    return log.running() == [f"each[{index}]" for index in iterations]


def attempts(log: History, iteration: int) -> list[int]:
    """The attempts as which an iteration was offered."""
    log.settled()
    return [o.attempt for o in log.messages(Offer) if o.block.iteration == iteration]


# stopping


@pytest.mark.parametrize("status", IN_FLIGHT)
def test_a_block_is_stopped_wherever_it_stands_and_its_step_fails(status: BlockStatus) -> None:
    log = _into(status).stopped("work", "wrong month").settled()

    assert (log.verdict, log.status) == ("accepted", "FAILED")
    assert log.error == Error(kind="cancelled", message="wrong month", step="work")
    assert log.entered() == ["work"]


def test_the_outcome_of_a_stopped_iteration_comes_too_late() -> None:
    log = history(looping()).requested().settled().stopped("each", iteration=1)
    late = log.completed("each", "late", iteration=1)

    assert late.verdict == "duplicate"
    log.each("each")
    assert log.result["stats"] == {"total": 5, "success": 4, "failed": 1}
    assert log.result["results"][1] == {
        "status": "error",
        "error": {"kind": "cancelled", "message": "cancelled on request"},
        "data": None,
    }


def test_a_stopped_iteration_fails_a_loop_that_does_not_go_on_after_failures() -> None:
    log = history(looping(on_error="fail")).requested().settled().stopped("each", iteration=0)

    assert running(log, 1)
    log.completed("each", iteration=1).settled()
    assert (log.status, log.error) == (
        "FAILED",
        Error(kind="cancelled", message="cancelled on request", step="each"),
    )


def test_what_still_runs_for_a_stopped_iteration_is_told_to_stop() -> None:
    log = history(looping()).requested().failed("each", retry=1.0, iteration=1).later(1.0).settled()

    log.stopped("each", iteration=1)

    assert log.messages(StopBlocks) == [
        StopBlocks(execution=EXECUTION, block=BlockId("each", 0, 1), attempt=1)
    ]


@pytest.mark.parametrize("wish", ["stopped", "rerun"])
def test_the_child_of_a_block_that_waits_no_more_is_cancelled(wish: str) -> None:
    log = _into("started")

    getattr(log, wish)("work")

    assert [message.parent.block for message in log.messages(CancelExecution)] == [BlockId("work", 0, 0)]


def test_an_iteration_that_has_not_begun_never_does() -> None:
    log = history(looping()).requested().settled().stopped("each", iteration=2).stopped("each", iteration=4)

    assert log.messages(StopBlocks)[0].block.iteration == 2
    assert log.completed("each", iteration=0).running() == ["each[1]", "each[3]"]
    log.each("each")
    assert attempts(log, 2) == attempts(log, 4) == []
    assert log.result["stats"] == {"total": 5, "success": 3, "failed": 2}


def test_the_next_iteration_of_a_sequence_is_passed_over() -> None:
    log = history(looping(limit=1, parallel=False)).requested().settled().stopped("each", iteration=1)

    assert log.completed("each").running() == ["each[2]"]


def test_stopping_every_iteration_ends_the_loop() -> None:
    log = history(looping(3)).requested().settled()
    for index in (2, 1, 0):
        log.stopped("each", iteration=index)

    assert log.settled().result["stats"] == {"total": 3, "success": 0, "failed": 3}


def test_what_has_ended_is_not_stopped() -> None:
    log = history(looping()).requested().completed("each", "done", iteration=0)

    assert log.stopped("each", iteration=0).verdict == "duplicate"
    log.each("each")
    assert log.result["stats"]["failed"] == 0


@pytest.mark.parametrize("iteration", [5, 17, ITEMS])
def test_there_is_nothing_to_stop_where_no_iteration_is(iteration: int) -> None:
    log = history(looping()).requested().settled()

    assert log.stopped("each", iteration=iteration).verdict == "stale"
    assert log.rerun("each", iteration=iteration).verdict == "stale"


def test_the_block_that_finds_out_how_a_loop_in_sequence_begins_can_run_again() -> None:
    items = Ref(uri="cache:rows", bytes=9, sha256="", format="json")
    log = history(looping(items, parallel=False)).requested().settled()

    assert log.rerun("each", iteration=ITEMS).verdict == "accepted"
    assert attempts(log, ITEMS) == [0, 1]


@pytest.mark.parametrize("wish", ["stopped", "rerun"])
def test_a_step_that_is_over_has_no_iterations_any_more(wish: str) -> None:
    log = history(chain("work", "after")).requested().completed("work").settled()

    assert getattr(log, wish)("work").verdict == "stale"
    assert log.running() == ["after"]


@pytest.mark.parametrize("wish", ["stopped", "rerun"])
def test_a_cancelled_execution_heeds_no_smaller_wish(wish: str) -> None:
    log = history(looping()).requested().settled().cancelled()

    assert getattr(log, wish)("each").verdict == "stale"
    assert log.settled().status == "CANCELLED"


def test_a_wish_to_stop_that_comes_again_does_not_stop_what_was_started_again() -> None:
    log = history(looping()).requested().settled().stopped("each", iteration=1).rerun("each", iteration=1)

    log.stopped("each", iteration=1, attempt=0)

    assert log.verdict == "duplicate"
    log.each("each")
    assert attempts(log, 1) == [0, 1]


def test_a_wish_to_stop_an_attempt_that_has_not_been_made_is_no_wish() -> None:
    log = history(looping()).requested().settled().stopped("each", iteration=1, attempt=3)

    assert log.verdict == "stale"


def test_offers_that_were_decided_before_a_stop_stand_no_more() -> None:
    """The owner wants to offer the third iteration while somebody bars it."""
    log = history(looping()).requested().completed("each", iteration=0)
    made = log.decision(log.decided())

    log.fold(_stop("each", 2)).fold(made)

    assert log.verdict == "stale"
    assert running(log, 1, 3)


def _stop(name: str, iteration: int) -> Any:
    from noetl_stream.core.events import BlockCancelRequested

    return BlockCancelRequested(block=BlockId(name, 0, iteration), attempt=0, time=0.0)


# running again


@pytest.mark.parametrize("status", IN_FLIGHT)
def test_a_block_begins_anew_wherever_it_stands(status: BlockStatus) -> None:
    log = _into(status)
    before = log.offer("work") if status != "ready" else None

    log.rerun("work")

    assert log.verdict == "accepted"
    offer = log.offer("work")
    assert (offer.segment, offer.resume, offer.answered) == (0, None, False)
    assert before is None or offer.attempt > before.attempt
    assert log.completed("work").running() == ["after"]


def test_an_outcome_of_the_attempt_before_comes_too_late() -> None:
    log = history(chain("work", "after")).requested().settled()
    old = log.decided  # nothing more to decide
    assert old() == ()

    log.rerun("work").settled()
    log.fold(_done("work", attempt=0))

    assert log.verdict == "duplicate"
    assert log.running() == ["work"]


def _done(name: str, attempt: int) -> Any:
    from noetl_stream.core.events import BlockCompleted

    return BlockCompleted(
        block=BlockId(name, 0, 0), attempt=attempt, segment=0, run="old", result=1, time=0.0
    )


def test_a_failure_does_not_count_any_more_once_its_iteration_runs_again() -> None:
    log = history(looping()).requested().failed("each", error=BAD, iteration=1).rerun("each", iteration=1)

    assert log.execution.runs["each"].stats() == {"total": 5, "success": 0, "failed": 0}
    log.each("each")
    assert log.result["stats"] == {"total": 5, "success": 5, "failed": 0}
    assert log.result["results"] == [0, 1, 2, 3, 4]


def test_it_waits_until_its_loop_has_room() -> None:
    log = history(looping()).requested().failed("each", iteration=0).settled().rerun("each", iteration=0)

    assert running(log, 1, 2)
    assert log.completed("each", iteration=2).running() == ["each[1]", "each[0]"]
    assert attempts(log, 0) == [0, 1]


def test_a_sequence_runs_it_before_it_goes_on() -> None:
    log = history(looping(3, limit=1, parallel=False)).requested().failed("each").settled()

    log.rerun("each", iteration=0)

    assert log.completed("each", iteration=1).running() == ["each[0]"]
    assert log.completed("each").running() == ["each[2]"]


def test_a_loop_that_had_failed_goes_on() -> None:
    log = history(looping(on_error="fail")).requested().failed("each", error=BAD, iteration=0)
    assert running(log, 1)

    log.rerun("each", iteration=0)

    assert running(log, 1, 0)
    log.each("each")
    assert log.status == "COMPLETED"


def test_a_loop_stays_failed_by_what_was_not_run_again() -> None:
    worse = Error(kind="python", message="worse", step="each")
    log = history(looping(on_error="fail", limit=3)).requested()
    log.failed("each", error=BAD, iteration=0).failed("each", error=worse, iteration=1)

    log.rerun("each", iteration=0)

    assert running(log, 2, 0)
    log.each("each")
    assert log.error == worse


def test_all_that_failed_a_loop_can_run_again() -> None:
    log = history(looping(on_error="fail")).requested()
    log.failed("each", error=BAD, iteration=0).rerun("each", iteration=0)
    log.failed("each", error=BAD, iteration=1).rerun("each", iteration=1)

    log.each("each")

    assert log.result["stats"]["failed"] == 0


def test_a_success_runs_again_only_by_force() -> None:
    log = history(looping()).requested().completed("each", "first", iteration=0)

    assert log.rerun("each", iteration=0).verdict == "rejected"
    assert log.rerun("each", iteration=0, force=True).verdict == "accepted"
    log.each("each", lambda index: f"again {index}")
    assert log.result["results"][0] == "again 0"
    assert log.result["stats"] == {"total": 5, "success": 5, "failed": 0}


def test_what_has_not_begun_cannot_run_again() -> None:
    log = history(looping()).requested().settled()

    assert log.rerun("each", iteration=3).verdict == "stale"


def test_what_was_barred_can_run_after_all_once() -> None:
    log = history(looping()).requested().settled().stopped("each", iteration=3).rerun("each", iteration=3)

    log.each("each")

    assert attempts(log, 3) == [1]
    assert log.result["results"] == [0, 1, 2, 3, 4]


def test_a_wish_that_comes_again_changes_nothing() -> None:
    log = history(looping()).requested().failed("each", iteration=0).settled().rerun("each", iteration=0)
    wish = len(log.log) - 1

    assert log.again(wish).verdict == "duplicate"
    log.settled().completed("each", iteration=1).failed("each", iteration=0)
    assert log.again(wish).verdict == "duplicate"
    assert attempts(log, 0) == [0, 1]


def test_what_waits_to_run_again_can_be_stopped() -> None:
    log = history(looping()).requested().failed("each", iteration=0).settled().rerun("each", iteration=0)

    log.stopped("each", iteration=0)

    assert log.verdict == "accepted"
    log.each("each")
    assert attempts(log, 0) == [0]
    assert log.result["stats"] == {"total": 5, "success": 4, "failed": 1}


def test_an_ending_that_a_worker_looks_for_stands() -> None:
    """What it concludes is of the results as they were; a fork can have others."""
    blueprint = plan(step("each", arc("last", _payload), loop=loop(1, on_error="continue")), step("last"))
    log = history(blueprint).requested().failed("each", iteration=0, error=BAD).settled()
    assert log.running() == ["each[-2]"]

    assert log.rerun("each", iteration=0).verdict == "rejected"
    end = StepFinished(step="each", epoch=0, status="failed")
    log.completed("each", routed(end), iteration=ROUTE)
    assert log.rerun("each", iteration=0, force=True).verdict == "rejected"


def test_a_growing_loop_runs_again_what_it_has_not_forgotten() -> None:
    blueprint = plan(
        step("each", loop=loop(None, limit=2, parallel=True, on_error="continue", cursor="rows"))
    )
    log = _claiming(blueprint)

    log.failed("each", iteration=0).rerun("each", iteration=0)

    assert log.verdict == "accepted"
    assert "each[0]" in log.running()
    assert log.offer("each", 0).item == "a"
    log.failed("each", iteration=0).completed("each", iteration=1).settled()
    assert log.rerun("each", iteration=1, force=True).verdict == "rejected"


def _claiming(blueprint: Plan) -> History:
    """A cursor's loop whose first claim brought two rows."""
    from dataclasses import replace

    name = blueprint.steps["each"]
    assert name.loop is not None
    each = replace(name, loop=replace(name.loop, items=None))
    log = history(replace(blueprint, steps={"each": each})).requested()
    return log.completed("each", {"items": ["a", "b"], "total": 2}, iteration=-3).settled()


# iterations that travel together


def in_sequence(log: History) -> History:
    """The first three of five have gone in one offer."""
    return log.requested().settled()


BUNDLED = looping(limit=1, parallel=False, bundle=3)


def test_of_those_that_go_together_in_sequence_the_first_alone_has_begun() -> None:
    log = in_sequence(history(BUNDLED))
    assert running(log, 0, 1, 2)

    assert log.rerun("each", iteration=1).verdict == "stale"
    assert log.rerun("each", iteration=0).verdict == "accepted"


def test_what_went_along_with_a_stopped_iteration_goes_again_without_it() -> None:
    """Whoever runs them together may have stopped at it, for a reason that counts no more."""
    log = in_sequence(history(BUNDLED)).stopped("each", iteration=0)

    assert running(log, 1, 2, 3)
    log.each("each")
    assert log.result["stats"] == {"total": 5, "success": 4, "failed": 1}
    assert [offer.count for offer in log.messages(Offer)] == [3, 3, 1]


# results that have left the state


def long(log: History, but: int) -> History:
    """A loop of 1,500 runs until all but its last iteration have ended, one of them badly."""
    log.requested()
    while mine := [k for k in log.settled().execution.blocks if k.iteration != 1_499]:
        index = mine[0].iteration
        if index == but:
            log.failed("each", error=BAD, iteration=index)
        else:
            log.completed("each", index, iteration=index)
    return log


def test_a_result_whose_chunk_was_stored_stands_beside_it() -> None:
    log = long(history(looping(1_500, limit=1_000)), but=17)
    assert [chunk.name[-2:] for chunk in log.messages(StoreChunk)] == ["/0"]

    log.rerun("each", iteration=17).completed("each", "well", iteration=17).completed("each", iteration=1_499)

    result = log.settled().result
    single = log.messages(StoreChunk)[1]
    assert single.results == ("well",)
    assert isinstance(result, Ref)
    assert result.elsewhere == (Elsewhere(17, 1, single.name),)
    assert result.parts["stats"] == {"total": 1_500, "success": 1_500, "failed": 0}
    assert [len(chunk.results) for chunk in log.messages(StoreChunk)] == [CHUNK, 1, 500]


def test_only_the_last_of_several_stands_there() -> None:
    log = long(history(looping(1_500, limit=1_000)), but=17)
    for value in ("once", "twice"):
        log.rerun("each", iteration=17, force=True).completed("each", value, iteration=17)

    result = log.completed("each", iteration=1_499).settled().result

    assert [each.name.rpartition(".")[2] for each in result.elsewhere] == ["2"]


def test_a_result_that_has_not_left_yet_leaves_with_its_chunk() -> None:
    log = (
        history(looping(1_001, limit=1_001))
        .requested()
        .failed("each", iteration=17)
        .rerun("each", iteration=17)
    )

    result: Value = log.each("each").result

    assert result.elsewhere == ()
    assert {chunk.name[-2:]: chunk.results[-1] for chunk in log.messages(StoreChunk)} == {
        "/0": 999,
        "/1": 1_000,
    }


def test_a_plain_step_that_failed_runs_again_before_that_is_decided() -> None:
    log = history(chain("work", "after")).requested().failed("work")
    from noetl_stream.core.events import BlockRetryRequested

    log.fold(BlockRetryRequested(block=BlockId("work", 0, 0), attempt=1, time=0.0))

    assert log.verdict == "accepted"
    assert log.completed("work").running() == ["after"]


def test_a_block_that_finds_out_how_its_step_begins_has_no_address() -> None:
    blueprint = plan(step("each", loop=loop(BIG)))
    log = history(blueprint).requested().settled()

    assert log.running() == ["each[-1]"]
    assert log.stopped("each", iteration=0).verdict == "stale"
