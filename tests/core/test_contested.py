"""An effect that may happen once: two runs want it, the first is waited for, and nobody is told more than is known."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.block import OFFER_TIMEOUT
from noetl_stream.core.decide import decide
from noetl_stream.core.events import BlockClaimed, BlockCompleted, BlockId, BlockLost, Event
from noetl_stream.core.snapshot import state_hash
from tests.histories.blueprints import arc, chain, loop, plan, step
from tests.histories.builder import History, history

PAY = BlockId("pay", 0, 0)


def contested(within: float = 20.0) -> History:
    return history(chain("pay", "ship")).requested().contested("pay", within=within)


def fact(kind: Any, log: History, **more: Any) -> Event:
    found: Event = kind(block=PAY, attempt=0, segment=0, run="first", time=log.now, **more)
    return found


def test_nothing_is_offered_again_while_the_first_run_is_waited_for() -> None:
    log = contested(within=OFFER_TIMEOUT + 60.0)

    assert log.later(OFFER_TIMEOUT).decided() == ()


def test_an_outcome_in_time_counts_as_if_nobody_had_come_second() -> None:
    log = contested().later(19.0).completed("pay", "paid").completed("ship").settled()

    assert log.execution.ended.status == "COMPLETED"  # type: ignore[union-attr]


def test_it_is_lost_at_its_deadline_and_not_before() -> None:
    log = contested(within=20.0)

    assert log.later(19.9).decided() == ()

    assert isinstance(log.later(0.1).decided()[0], BlockLost)


def test_a_lost_step_fails_and_its_error_says_what_to_look_for() -> None:
    log = contested().later(20.0).settled()

    end = log.execution.ended
    assert end is not None
    assert end.error is not None
    assert (end.status, end.error.step, end.error.code, end.error.retryable) == (
        "FAILED",
        "pay",
        "lost",
        False,
    )
    assert "whether task 'pay' took effect" in end.error.message
    assert "idempotency key 5eed" in end.error.message


def test_an_arc_for_errors_takes_what_was_lost() -> None:
    blueprint = plan(step("pay", arc("look", on="error")), step("look"))
    log = history(blueprint).requested().contested("pay").later(60.0).completed("look").settled()

    assert log.execution.ended.status == "COMPLETED"  # type: ignore[union-attr]


def test_a_run_that_renews_its_lease_is_waited_for() -> None:
    log = contested(within=5.0)
    log.fold(fact(BlockClaimed, log, renew_by=log.now + 30.0))

    assert (log.verdict, log.later(29.0).decided()) == ("accepted", ())
    assert isinstance(log.later(1.0).decided()[0], BlockLost)


def test_a_lease_shorter_than_the_deadline_takes_nothing_away() -> None:
    log = contested(within=60.0)

    log.fold(fact(BlockClaimed, log, renew_by=log.now + 30.0))

    assert log.verdict == "stale"
    assert log.execution.next_due() == log.now + 60.0


def test_a_lease_that_stands_is_not_shortened() -> None:
    log = history(chain("pay")).requested().claimed("pay", lease=30.0).contested("pay", within=5.0)

    assert log.execution.next_due() == log.now + 30.0
    assert log.again(-2).verdict == "stale"


def test_a_claim_from_before_its_block_was_offered_again_renews_nothing() -> None:
    log = history(chain("pay")).requested().claimed("pay", lease=30.0).later(40.0).settled()

    log.contested("pay", within=-15.0).fold(fact(BlockClaimed, log, renew_by=log.now - 10.0))

    assert log.verdict == "stale"


@pytest.mark.parametrize("late", ["renewed", "completed"])
def test_giving_up_falls_to_what_the_first_run_said_meanwhile(late: str) -> None:
    log = contested(within=5.0).later(5.0)
    given_up = log.decision(log.decided())
    said = {
        "renewed": fact(BlockClaimed, log, renew_by=log.now + 30.0),
        "completed": fact(BlockCompleted, log, result=1),
    }

    assert log.fold(said[late]).verdict == "accepted"
    assert log.fold(given_up).verdict == "stale"


def test_giving_up_an_iteration_falls_to_its_outcome_though_that_matters_to_nobody_else() -> None:
    blueprint = plan(step("pay", loop=loop(3, limit=3, parallel=True, on_error="continue")))
    log = history(blueprint).requested().contested("pay", within=5.0).later(5.0)
    given_up = log.decision(log.decided())

    assert log.fold(fact(BlockCompleted, log, result=1)).verdict == "accepted"
    assert log.fold(given_up).verdict == "stale"


def test_an_outcome_after_it_was_given_up_counts_for_nothing() -> None:
    blueprint = plan(step("pay", loop=loop(2, limit=2, parallel=True, on_error="continue")))
    log = history(blueprint).requested().contested("pay", within=5.0).later(5.0).settled()

    log.fold(fact(BlockCompleted, log, result="late"))

    assert log.verdict == "duplicate"


def test_a_lost_iteration_fails_as_any_other_and_deciding_it_changes_nothing_by_itself() -> None:
    blueprint = plan(step("pay", loop=loop(2, limit=2, parallel=True, on_error="continue")))
    log = history(blueprint).requested().contested("pay", within=5.0).later(5.0)
    before = state_hash(log.state)

    decide(log.plan, log.execution, log.now)
    assert state_hash(log.state) == before

    log.settled().completed("pay", "paid", iteration=1).settled()
    result = log.execution.results["pay"]
    assert result["stats"] == {"total": 2, "success": 1, "failed": 1}
    assert result["results"][0]["error"]["kind"] == "server_error"


def test_the_third_that_comes_changes_nothing() -> None:
    log = contested(within=20.0).contested("pay", within=900.0)

    assert log.verdict == "stale"
    assert log.execution.next_due() == log.now + 20.0


def test_a_deadline_that_has_passed_already_is_the_end_of_it() -> None:
    """The second run came long after the first had died."""
    log = contested(within=-600.0)

    assert isinstance(log.decided()[0], BlockLost)


def test_the_next_segment_begins_without_the_contest_of_the_one_before() -> None:
    log = contested().slept("pay", 1.0).later(1.0).settled()

    assert log.execution.blocks[PAY].contest is None
    assert log.later(OFFER_TIMEOUT).decided()[0].__class__.__name__ == "BlockOffered"
