"""Which records count: repetitions, strangers, those who come back after the end, and other owners' decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from noetl_stream.core.done import HOUR, WINDOW
from noetl_stream.core.events import (
    BlockCompleted,
    BlockId,
    BlockOffered,
    CancelRequested,
    ExecutionEnded,
    ExecutionQuarantined,
    PartitionTaken,
    RecordRejected,
    StepFinished,
)
from noetl_stream.core.messages import Offer, Reply, ReplyAgain
from noetl_stream.core.snapshot import state_hash
from noetl_stream.core.values import Error
from noetl_stream.errors import IllegalTransition
from noetl_stream.ids import identity
from tests.histories.blueprints import chain, loop, plan, step
from tests.histories.builder import EXECUTION, START, History, history, request

OTHER = identity("somebody else").hex()


def test_a_request_that_comes_twice_is_one() -> None:
    log = history(chain("a")).requested(reply_to="answers").settled()

    assert log.again(1).verdict == "duplicate"
    assert len(log.messages(Offer)) == 1


def test_a_request_with_the_same_id_and_another_identity_is_rejected() -> None:
    log = history(chain("a")).requested()

    assert log.requested(identity=OTHER).verdict == "rejected"
    assert log.completed("a").settled().requested(identity=OTHER).verdict == "rejected"


def test_a_request_that_comes_after_the_end_is_answered_from_the_log() -> None:
    log = history(chain("a")).requested(reply_to="answers", correlation="c").completed("a").settled()
    ended = log.after

    assert log.again(1).verdict == "duplicate"
    assert len(log.messages(Reply)) == 1
    assert log.messages(ReplyAgain) == [
        ReplyAgain(
            execution=EXECUTION,
            offset=ended,
            reply_to="answers",
            path="tests/plan",
            version=1,
            correlation="c",
        )
    ]


def test_a_request_without_a_reply_address_is_not_answered_again() -> None:
    log = history(chain("a")).requested().completed("a").settled().again(1)

    assert (log.verdict, log.messages(ReplyAgain)) == ("duplicate", [])


@pytest.mark.parametrize(
    ("machine", "name"),
    [(EXECUTION, ""), (EXECUTION, "zz" * 16), (EXECUTION, "ab"), (0, OTHER), (-4, OTHER), (2**63, OTHER)],
)
def test_an_identity_that_none_of_ours_could_be_is_rejected(machine: int, name: str) -> None:
    log = history(chain("a"))

    log.fold(request(log.plan, identity=name), machine=machine)

    assert (log.verdict, log.state.machines) == ("rejected", {})


def end(log: History, machine: int) -> None:
    """Another execution comes and goes."""
    log.fold(request(log.plan, time=log.now, identity=OTHER), machine)
    done = (ExecutionEnded(status="CANCELLED"),)
    log.fold(log.decision(done), machine)


def test_ended_executions_are_known_for_the_whole_window_and_then_forgotten() -> None:
    log = history(chain("a")).requested().completed("a").settled()

    log.later(WINDOW)
    end(log, 7)

    assert log.again(1).verdict == "duplicate"

    log.later(2 * HOUR)
    end(log, 8)

    assert log.fold(request(log.plan, time=log.now)).verdict == "accepted"


def test_a_moment_that_no_clock_shows_does_not_move_the_window() -> None:
    log = history(chain("a")).requested().completed("a").settled()

    for moment in (float("inf"), float("nan"), 1e300, -1e300):
        log.fold(CancelRequested(time=moment), machine=9)
    end(log, 7)

    assert log.again(1).verdict == "duplicate"
    assert log.state.log_time == START


def test_a_fact_dated_next_year_does_not_close_the_window_early() -> None:
    """Log time is the owners' alone: anybody may write a cancel."""
    log = history(chain("a")).requested().completed("a").settled()

    log.fold(CancelRequested(time=START + 366 * 86_400.0), machine=9)
    end(log, 7)

    assert log.again(1).verdict == "duplicate"
    assert log.state.log_time == START


def test_a_decision_that_is_read_twice_counts_once() -> None:
    log = history(chain("a")).requested().settled()

    assert log.again().verdict == "duplicate"
    assert len(log.messages(Offer)) == 1


def test_a_decision_of_a_former_owner_is_stale() -> None:
    log = history(chain("a")).requested()
    moves = log.decided()
    former = log.decision(moves)

    log.fold(PartitionTaken(owner="other", time=log.now), machine=0)

    assert log.fold(former).verdict == "stale"
    assert log.messages(Offer) == []
    assert log.fold(log.decision(log.decided())).verdict == "accepted"


def test_a_decision_for_an_unknown_execution_is_stale() -> None:
    log = history(chain("a"))

    assert log.fold(log.decision((ExecutionEnded(status="FAILED"),))).verdict == "stale"


def test_a_decision_overtaken_by_a_fact_leaves_nothing_behind() -> None:
    """Two causes, one decision each: the second fact makes the first decision fall."""
    log = history(chain("a", "b")).requested().completed("a")
    late = log.decision(log.decided())
    log.cancelled()
    before = state_hash(log.state)

    assert log.fold(late).verdict == "stale"
    assert state_hash(log.state) == before
    assert log.settled().status == "CANCELLED"


def parallel() -> History:
    return history(plan(step("each", loop=loop(10, limit=2, parallel=True)))).requested().settled()


def test_an_offer_in_a_hot_loop_stands_though_another_outcome_came_before_it() -> None:
    log = parallel().completed("each")
    next_one = log.decision(log.decided())
    log.fold(_outcome_of(log, 1))

    assert log.fold(next_one).verdict == "accepted"
    assert log.running() == ["each[2]", "each[3]"]


def test_an_offer_in_a_hot_loop_falls_to_a_cancel() -> None:
    log = parallel().completed("each")
    next_one = log.decision(log.decided())

    assert log.cancelled().fold(next_one).verdict == "stale"


def _outcome_of(log: History, iteration: int) -> BlockCompleted:
    return BlockCompleted(
        block=BlockId("each", 0, iteration), attempt=0, segment=0, run="r", result=1, time=log.now
    )


def test_an_offer_again_falls_to_the_outcome_that_came_before_it() -> None:
    """The lease ended and the owner decides; meanwhile the block is completed after all."""
    log = parallel().claimed("each", lease=5.0).later(5.0)
    again = log.decision(log.decided())
    assert [move.block.iteration for move in again.moves if isinstance(move, BlockOffered)] == [0]

    log.fold(_outcome_of(log, 0))

    assert log.fold(again).verdict == "stale"


def test_a_decision_that_nobody_could_have_made_is_a_fault_of_the_program() -> None:
    log = history(chain("a")).requested().settled()
    impossible = log.decision((StepFinished(step="a", epoch=0, status="done"),))
    before = state_hash(log.state)

    with pytest.raises(IllegalTransition, match=r"StepFinished has no arrow from 'not complete' for a/0"):
        log.fold(impossible)
    assert state_hash(log.state) == before


def test_a_quarantined_execution_ends_with_its_reason_and_is_remembered() -> None:
    log = history(chain("a")).requested(reply_to="answers").settled()

    log.fold(ExecutionQuarantined(fence=log.state.fence, reason="KeyError: 'x'", time=log.now))

    assert (log.verdict, log.status) == ("accepted", "FAILED")
    assert log.error == Error(kind="quarantined", message="KeyError: 'x'")
    assert log.messages(Reply)[0].error == log.error
    assert log.again(1).verdict == "duplicate"
    assert log.again(3).verdict == "stale"


def test_a_quarantine_by_a_former_owner_is_stale() -> None:
    log = history(chain("a")).requested()
    quarantine = ExecutionQuarantined(fence=log.state.fence, reason="x", time=log.now)
    log.fold(PartitionTaken(owner="other", time=log.now), machine=0)

    assert log.fold(quarantine).verdict == "stale"


def test_a_rejected_record_moves_nobody() -> None:
    log = history(chain("a")).requested()
    before = state_hash(log.state)

    rejected = RecordRejected(fence=log.state.fence, offset=1, reason="unreadable", time=log.now)
    log.fold(rejected, machine=0)

    assert (log.verdict, state_hash(log.state)) == ("accepted", before)


@pytest.mark.parametrize("wrong", [{"fence": -1}, {"offset": 99}])
def test_a_record_is_rejected_by_its_partitions_owner_after_it_was_read(wrong: dict[str, Any]) -> None:
    log = history(chain("a")).requested()
    rejected = RecordRejected(fence=log.state.fence, offset=1, reason="unreadable", time=log.now)

    assert log.fold(replace(rejected, **wrong), machine=0).verdict == "stale"


def test_a_fact_for_an_execution_nobody_requested_is_stale() -> None:
    log = parallel()
    log.fold(_outcome_of(log, 0), machine=12345)

    assert log.verdict == "stale"


def test_a_decision_under_a_newer_clock_carries_log_time_on() -> None:
    log = history(chain("a")).requested().later(5.0).settled()

    assert log.state.log_time == START + 5.0
