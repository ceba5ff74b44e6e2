"""Cancels and deadlines, in every phase: final, and told to everyone concerned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from noetl_stream.core.events import CancelRequested, Event, ExecutionEnded, ExecutionRequested
from noetl_stream.core.messages import NotifyParent, Reply, StopBlocks
from noetl_stream.core.values import Error
from tests.histories.blueprints import chain, diamond, loop, plan, step
from tests.histories.builder import START, History, history, waiting_parent

PHASES: dict[str, Callable[[], History]] = {
    "requested": lambda: history(chain("a", "b")).requested(),
    "offered": lambda: history(chain("a", "b")).requested().settled(),
    "claimed": lambda: history(chain("a", "b")).requested().claimed("a"),
    "between two steps": lambda: history(chain("a", "b")).requested().completed("a"),
    "waiting for a backoff": lambda: history(chain("a")).requested().failed("a", retry=9.0),
    "asleep": lambda: history(chain("a")).requested().slept("a", 9.0),
    "waiting for a child": lambda: history(chain("a")).requested().called("a").settled(),
    "in a loop": lambda: history(plan(step("a", loop=loop(3)))).requested().completed("a"),
    "at a join": lambda: history(diamond()).requested().completed("start").completed("left").settled(),
    "failing": lambda: history(diamond()).requested().completed("start").failed("left").settled(),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancel_ends_the_execution_whatever_it_is_doing(phase: str) -> None:
    log = PHASES[phase]().cancelled("enough")

    assert log.verdict == "accepted"
    assert log.decided() == (
        ExecutionEnded(status="CANCELLED", error=Error(kind="cancelled", message="enough")),
    )
    assert log.settled().status == "CANCELLED"


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancel_is_final(phase: str) -> None:
    log = PHASES[phase]().cancelled().settled()
    facts = [record for record in log.log if type(record.event).__name__.startswith(("Block", "Child"))]

    for record in facts:
        assert log.fold(record.event).verdict == "stale"
    assert log.cancelled("again").verdict == "stale"
    assert log.decided() == ()
    assert [type(m).__name__ for r in log.log for m in getattr(r.event, "moves", ())].count(
        "ExecutionEnded"
    ) == 1


def test_a_second_cancel_changes_nothing() -> None:
    log = history(chain("a")).requested().cancelled("first")

    assert log.cancelled("second").verdict == "duplicate"
    assert log.settled().error == Error(kind="cancelled", message="first")


def test_a_cancel_without_a_reason_has_one() -> None:
    assert history(chain("a")).requested().cancelled().settled().error == (
        Error(kind="cancelled", message="cancelled on request")
    )


def test_a_cancel_beats_an_outcome_that_came_just_before_it() -> None:
    """An outcome, then a cancel, before the owner has looked."""
    log = history(chain("a")).requested().completed("a", 1).cancelled()

    assert log.settled().status == "CANCELLED"


def test_a_cancel_that_overtook_its_request_waits_for_it() -> None:
    log = history(chain("a")).cancelled("too early")

    assert log.verdict == "accepted"

    log.requested()

    assert log.settled().status == "CANCELLED"
    assert log.entered() == []


def test_a_cancel_that_overtook_its_request_twice_is_one() -> None:
    assert history(chain("a")).cancelled().cancelled().verdict == "duplicate"


def test_early_cancels_are_forgotten_after_the_window() -> None:
    log = history(chain("a"))
    log.fold(CancelRequested(time=START), machine=1)
    log.fold(CancelRequested(time=START + 3_600.0), machine=2)

    log.later(86_401.0).requested().settled()
    log.fold(CancelRequested(time=log.now), machine=3)

    assert list(log.state.precancelled) == [2, 3]


@pytest.mark.parametrize("phase", [name for name in PHASES if name != "requested"])
def test_a_deadline_ends_the_execution_whatever_it_is_doing(phase: str) -> None:
    log = PHASES[phase]()
    moved = history(log.plan)
    for record in log.log[1:]:
        moved.fold(_with_deadline(record.event), record.machine)
    moved.later(50.0)

    assert moved.decided() == (
        ExecutionEnded(status="FAILED", error=Error(kind="timeout", message="the deadline has passed")),
    )


def _with_deadline(event: Event) -> Event:
    return replace(event, deadline=START + 50.0) if isinstance(event, ExecutionRequested) else event


def test_a_deadline_sets_the_alarm_from_the_start() -> None:
    log = history(chain("a")).requested(deadline=START + 5.0)

    assert log.execution.alarm == START + 5.0 == log.execution.next_due()
    assert log.running() == ["a"]
    assert log.later(5.0).settled().status == "FAILED"


def test_a_request_whose_deadline_has_passed_ends_without_a_block() -> None:
    log = history(chain("a")).requested(deadline=START - 1.0).settled()

    assert (log.status, log.entered()) == ("FAILED", [])


def test_blocks_that_still_run_are_told_to_stop_and_those_who_wait_are_told() -> None:
    parent = waiting_parent()
    log = (
        history(chain("a"))
        .requested(parent=parent, reply_to="answers")
        .settled()
        .cancelled("enough")
        .settled()
    )

    assert [type(message) for message in log.sent[-3:]] == [StopBlocks, NotifyParent, Reply]
    assert log.messages(Reply)[0].status == "CANCELLED"
    assert log.messages(NotifyParent)[0].error == Error(kind="cancelled", message="enough")


def test_nobody_is_told_to_stop_where_nothing_runs() -> None:
    log = history(chain("a")).requested().completed("a").settled()

    assert log.messages(StopBlocks) == []
