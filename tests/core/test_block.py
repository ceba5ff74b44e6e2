"""A block's life: claims and leases, retries, sleeps, offers that nobody answered."""

from __future__ import annotations

import pytest

from noetl_stream.core.block import OFFER_TIMEOUT
from noetl_stream.core.events import BlockClaimed, BlockCompleted, BlockId, BlockOffered
from noetl_stream.core.messages import Offer
from tests.histories.blueprints import chain
from tests.histories.builder import START, History, history

LOAD = BlockId("load", 0, 0)


def begun() -> History:
    return history(chain("load")).requested().settled()


def offers(log: History) -> list[tuple[int, int]]:
    """(attempt, segment) of every offer sent."""
    return [(offer.attempt, offer.segment) for offer in log.settled().messages(Offer)]


def test_a_failed_block_is_offered_again_after_its_backoff() -> None:
    log = begun().failed("load", retry=2.0)

    assert log.decided() == ()
    assert log.execution.alarm == START + 2.0

    assert log.later(1.9).decided() == ()
    assert log.later(0.1).decided() == (BlockOffered(block=LOAD, attempt=1, segment=0),)


def test_a_retry_without_delay_is_offered_at_once() -> None:
    assert offers(begun().failed("load", retry=0.0)) == [(0, 0), (1, 0)]


def test_a_retry_goes_on_where_the_worker_left_its_notes() -> None:
    log = begun().failed("load", retry=0.0, resume={"task": 2}, writes={"ctx.a": 1})

    assert log.offer("load").resume == {"task": 2}
    assert log.ctx == {"a": 1}


def test_tries_add_up_over_attempts_and_segments() -> None:
    log = begun().failed("load", retry=0.0, tries=3).slept("load", 0.0, tries=2).completed("load", tries=4)

    assert log.settled().execution.finished["load"].tries == 9


def test_an_outcome_of_an_attempt_that_was_given_up_counts_for_nothing() -> None:
    log = begun().failed("load", retry=5.0)
    late = BlockCompleted(block=LOAD, attempt=0, segment=0, run="old", result="late", time=log.now)

    assert log.fold(late).verdict == "duplicate"
    assert log.running() == ["load"]


def test_an_outcome_from_the_future_is_stale() -> None:
    log = begun()

    early = BlockCompleted(block=LOAD, attempt=3, segment=0, run="x", result=1, time=log.now)

    assert log.fold(early).verdict == "stale"


def test_a_sleeping_block_holds_nothing_until_its_moment() -> None:
    log = begun().slept("load", 60.0, resume="here")

    assert (log.decided(), log.execution.alarm) == ((), START + 60.0)
    assert log.later(59.0).decided() == ()

    log.later(1.0)

    assert offers(log) == [(0, 0), (0, 1)]
    assert (log.offer("load").resume, log.offer("load").answered) == ("here", True)


def test_two_parks_of_one_attempt_are_two_segments() -> None:
    log = begun().slept("load", 1.0).later(1.0).slept("load", 1.0).later(1.0)

    assert offers(log) == [(0, 0), (0, 1), (0, 2)]


def test_a_retry_after_a_park_begins_with_the_first_segment() -> None:
    log = begun().slept("load", 1.0).later(1.0).failed("load", retry=0.0)

    assert offers(log) == [(0, 0), (0, 1), (1, 0)]


def test_a_claimed_block_is_left_alone_until_its_lease_ends() -> None:
    log = begun().claimed("load", lease=30.0)

    assert (log.decided(), log.execution.alarm) == ((), START + 30.0)
    assert log.later(29.0).decided() == ()
    assert offers(log.later(1.0)) == [(0, 0), (0, 0)]


def test_a_renewed_lease_counts_from_its_renewal() -> None:
    log = begun().claimed("load", lease=30.0).later(20.0).claimed("load", lease=30.0)

    assert log.later(29.0).decided() == ()
    assert log.later(1.0).decided() != ()


def test_a_block_whose_lease_ended_may_still_be_completed_by_its_first_run() -> None:
    log = begun().claimed("load", lease=30.0).later(30.0).completed("load", "late but right").settled()

    assert (log.status, log.result) == ("COMPLETED", "late but right")


def test_only_one_of_two_runs_of_a_block_counts() -> None:
    log = begun().claimed("load", lease=30.0).later(30.0).completed("load", "first")
    second = BlockCompleted(block=LOAD, attempt=0, segment=0, run="other", result="second", time=log.now)

    assert log.fold(second).verdict == "duplicate"
    assert log.settled().result == "first"


def test_a_claim_that_ends_no_later_than_the_one_that_stands_is_stale() -> None:
    log = begun().claimed("load", lease=30.0)

    assert log.claimed("load", lease=30.0, run="other").verdict == "stale"
    assert log.claimed("load", lease=31.0, run="other").verdict == "accepted"


def test_a_claim_from_before_the_block_was_offered_again_is_stale() -> None:
    log = begun().claimed("load", lease=30.0).later(30.0).settled()
    old = BlockClaimed(block=LOAD, attempt=0, segment=0, run="run", renew_by=START + 30.0, time=START)

    assert log.fold(old).verdict == "stale"
    assert log.decided() == ()


def test_an_offer_that_nobody_answered_is_sent_again_with_the_same_attempt() -> None:
    log = begun().later(OFFER_TIMEOUT - 1.0)

    assert log.decided() == ()
    assert offers(log.later(1.0)) == [(0, 0), (0, 0)]
    assert offers(log.later(OFFER_TIMEOUT)) == [(0, 0), (0, 0), (0, 0)]


def test_a_waiting_block_takes_no_outcome() -> None:
    log = begun().slept("load", 60.0)
    guess = BlockCompleted(block=LOAD, attempt=0, segment=1, run="x", result=1, time=log.now)

    assert log.fold(guess).verdict == "stale"


def test_a_block_that_never_was_is_stale() -> None:
    log = begun()
    stranger = BlockCompleted(
        block=BlockId("elsewhere", 3, 0), attempt=0, segment=0, run="x", result=1, time=log.now
    )

    assert log.fold(stranger).verdict == "stale"


@pytest.mark.parametrize("writes", [{}, {"ctx.a": 1}])
def test_writes_of_a_failed_block_count(writes: dict[str, int]) -> None:
    log = begun().failed("load", writes=writes).settled()

    assert log.ctx == {name.removeprefix("ctx."): value for name, value in writes.items()}


def test_the_alarm_moves_on_once_its_timer_was_answered() -> None:
    log = begun().claimed("load", lease=5.0).later(5.0).settled()

    assert log.execution.alarm == log.now + OFFER_TIMEOUT == log.execution.next_due()
