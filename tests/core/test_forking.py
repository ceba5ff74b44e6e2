"""What a fork takes along of another execution's state: all but what concerned that one's attempts and its loop's ending."""

from __future__ import annotations

import pytest

from noetl_stream.core.events import ROUTE, BlockId, StepFinished
from noetl_stream.core.finishing import routed
from noetl_stream.core.forking import Unfoldable, laid_over, packed, past_of, unpacked
from noetl_stream.core.snapshot import state_hash
from noetl_stream.core.values import Error
from tests.histories.blueprints import arc, chain, loop, plan, step
from tests.histories.builder import History, history
from tests.histories.lives import _payload

BAD = Error(kind="python", message="no")
FIRST = BlockId("each", 0, 0)


def concluding() -> History:
    """A loop has ended, and a worker looks for where it leads."""
    repeats = loop(2, limit=2, parallel=True, on_error="continue")
    blueprint = plan(step("each", arc("last", _payload), loop=repeats), step("last"))
    return history(blueprint).requested().failed("each", iteration=0, error=BAD).each("each")


def test_an_ending_that_is_looked_for_is_looked_for_anew() -> None:
    log = concluding()
    assert log.running() == ["each[-2]"]

    past = past_of(log.execution, FIRST)

    assert (past.blocks, past.runs["each"].open, past.runs["each"].again) == ((), 0, ((0, 0),))


def test_an_ending_that_was_found_does_not_hold_for_other_results() -> None:
    log = concluding()
    end = StepFinished(step="each", epoch=0, status="done")
    log.completed("each", routed(end), iteration=ROUTE)
    assert log.execution.runs["each"].routed is not None

    assert past_of(log.execution, FIRST).runs["each"].routed is None


def test_an_ending_that_could_not_be_found_is_no_failure_of_the_fork() -> None:
    log = concluding().failed("each", iteration=ROUTE, error=BAD)
    assert log.execution.runs["each"].unroutable

    run = past_of(log.execution, FIRST).runs["each"]

    assert (run.unroutable, run.error) == (False, None)


def test_taking_a_past_changes_nothing_of_its_source() -> None:
    log = concluding()
    before = state_hash(log.state)

    past_of(log.execution, FIRST)

    assert state_hash(log.state) == before


def test_what_is_in_flight_begins_at_its_first_attempt() -> None:
    log = history(chain("work", "after")).requested().failed("work", retry=1.0).later(1.0).settled()

    assert past_of(log.execution).blocks == (BlockId("work", 0, 0),)


def test_a_past_is_read_as_it_was_written() -> None:
    past = past_of(concluding().execution, FIRST)

    assert unpacked(packed(past)) == past


@pytest.mark.parametrize("body", [None, b"", b"no past", packed(past_of(concluding().execution))[:-4]])
def test_what_is_no_past_is_refused(body: bytes | None) -> None:
    with pytest.raises(Unfoldable):
        unpacked(body)


def test_inputs_are_laid_over_deeply() -> None:
    below = {"a": 1, "deep": {"b": 2, "c": [3]}, "kept": None}

    assert laid_over(below, {"a": {"x": 1}, "deep": {"c": [4], "d": 5}}) == {
        "a": {"x": 1},
        "deep": {"b": 2, "c": [4], "d": 5},
        "kept": None,
    }
