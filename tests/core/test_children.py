"""A block that waits for another playbook's execution."""

from __future__ import annotations

from dataclasses import replace

import pytest

from noetl_stream.core.events import BlockId, BlockOffered, Child, ChildRequested, Parent
from noetl_stream.core.messages import CancelExecution, StartChild, StopBlocks
from noetl_stream.core.values import Error
from noetl_stream.ids import identity
from tests.histories.blueprints import chain
from tests.histories.builder import EXECUTION, START, History, history

CALL = BlockId("call", 0, 0)
PARENT = Parent(execution=EXECUTION, block=CALL, attempt=0, segment=0)
CHILD = identity("child").hex()
SEED = identity("seed", "seed", CHILD).hex()
"""Of the child: nobody finds it out who does not know its parent's."""


def calling(**child: object) -> History:
    return history(chain("call")).requested(priority="high", deadline=START + 900.0).called("call", **child)


def test_a_call_starts_a_child_whose_parent_is_the_segment_that_parked() -> None:
    log = calling(input={"x": 1})

    assert log.decided() == (ChildRequested(block=CALL, attempt=0, segment=0),)

    log.settled()

    wanted = Child(path="child", version=None, input={"x": 1}, identity=CHILD)
    assert log.messages(StartChild) == [
        StartChild(
            parent=PARENT, child=wanted, tenant="default", seed=SEED, deadline=START + 900.0, priority="high"
        )
    ]
    assert log.decided() == ()


def test_a_child_ends_with_the_deadline_that_its_parents_playbook_sets() -> None:
    log = history(replace(chain("call"), deadline=60.0)).requested().called("call").settled()

    assert [started.deadline for started in log.messages(StartChild)] == [START + 60.0]


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED", "STARTED"])
def test_the_next_segment_gets_the_childs_answer(status: str) -> None:
    log = calling().child_ended("call", status, result=5, error=Error(kind="sql", message="no table"))

    assert log.decided() == (BlockOffered(block=CALL, attempt=0, segment=1),)
    offer = log.offer("call")
    assert (offer.segment, offer.answered) == (1, True)
    assert offer.answer == {
        "status": status,
        "execution_id": "99",
        "result": 5,
        "error": {"kind": "sql", "message": "no table"},
    }


def test_an_answer_without_an_error_says_so() -> None:
    assert calling().child_ended("call").offer("call").answer["error"] is None


def test_a_child_that_answers_twice_is_heard_once() -> None:
    log = calling().child_ended("call", result=1)

    assert log.again().verdict == "duplicate"
    assert log.settled().again(-2).verdict == "duplicate"
    assert log.offer("call").answer["result"] == 1


def test_an_answer_to_a_block_that_called_nobody_is_no_answer() -> None:
    log = history(chain("call")).requested()

    assert log.child_ended("call").verdict in ("stale", "duplicate")
    assert log.running() == ["call"]


def test_a_call_that_waits_too_long_goes_on_without_its_child_and_cancels_it() -> None:
    log = calling(timeout=10.0).settled()

    assert log.execution.alarm == START + 10.0
    assert log.later(9.0).decided() == ()

    offer = log.later(1.0).offer("call")

    assert (offer.answer, offer.answered) == ({"status": "TIMED_OUT"}, True)
    assert log.messages(CancelExecution) == [
        CancelExecution(parent=PARENT, identity=CHILD, reason="its parent stopped waiting")
    ]


def test_a_child_that_ends_after_its_parent_stopped_waiting_is_not_heard() -> None:
    log = calling(timeout=10.0).settled().later(10.0).settled()

    assert log.child_ended("call", result=1).verdict == "duplicate"
    assert log.offer("call").answer == {"status": "TIMED_OUT"}


def test_a_call_that_only_starts_its_child_does_not_cancel_it_when_it_stops_waiting() -> None:
    log = calling(timeout=10.0, wait=False).settled().later(10.0).settled()

    assert log.offer("call").answered
    assert log.messages(CancelExecution) == []


def test_a_parent_that_ends_cancels_the_child_it_waits_for() -> None:
    log = calling().settled().cancelled("enough").settled()

    assert log.messages(CancelExecution) == [
        CancelExecution(parent=PARENT, identity=CHILD, reason="its parent has ended")
    ]
    assert log.messages(StopBlocks) == [StopBlocks(execution=EXECUTION)]


def test_a_parent_that_ends_leaves_alone_the_child_it_did_not_wait_for() -> None:
    assert calling(wait=False).settled().cancelled().settled().messages(CancelExecution) == []


def test_a_parent_that_was_cancelled_before_it_called_starts_no_child() -> None:
    log = calling().cancelled().settled()

    assert (log.status, log.messages(StartChild), log.messages(CancelExecution)) == ("CANCELLED", [], [])


def test_a_retried_call_forgets_the_answer_of_the_attempt_before() -> None:
    log = calling().child_ended("call", "FAILED").failed("call", retry=0.0)

    offer = log.offer("call")
    assert (offer.attempt, offer.segment, offer.answer, offer.answered) == (1, 0, None, False)


def test_a_block_that_parks_again_forgets_its_first_answer() -> None:
    log = calling().child_ended("call").slept("call", 1.0).later(1.0)

    assert (log.offer("call").answer, log.offer("call").answered) == ({"status": "WOKEN"}, True)
