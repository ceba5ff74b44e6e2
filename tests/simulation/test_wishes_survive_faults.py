"""Random plans, random faults, and somebody who stops iterations and runs them again: every invariant holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from noetl_stream.core import block, iterations, reopening, run
from noetl_stream.core.block import Block
from noetl_stream.core.events import BlockCancelRequested, BlockRetryRequested
from noetl_stream.core.partition import Partition, evolve
from tests.simulation.explore import campaign, explore
from tests.simulation.faults import PROFILES
from tests.simulation.mutations import swapped

SEEDS = 8
"""Of each profile."""


@pytest.mark.parametrize("profile", PROFILES)
def test_iterations_are_stopped_and_run_again_whatever_goes_wrong(profile: str) -> None:
    found = {seed: bad for seed in range(SEEDS) if (bad := explore(seed, profile, wishes=True).bad)}

    assert not found


@pytest.mark.slow
def test_bundles_and_results_in_chunks_survive_it_too() -> None:
    with swapped(run, "CHUNK", 2), swapped(reopening, "CHUNK", 2):
        reports = [campaign(range(60), wishes=True, together=together) for together in (False, True)]

    assert [each.bad for report in reports for each in report.failed] == []


ONCE_FAILED = {
    2092: "an iteration that had not begun in its bundle ran again, was withdrawn, and its attempt forgotten",
    2204: "what went along with a stopped iteration was left in flight",
}


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_a_seed_that_once_failed_holds(seed: int) -> None:
    with swapped(run, "CHUNK", 2), swapped(reopening, "CHUNK", 2):
        assert explore(seed, wishes=True, together=True).bad == []


def test_the_wishes_of_a_campaign_are_of_every_kind_and_meet_every_verdict() -> None:
    """Else the tests above show nothing."""
    met = Counter[tuple[str, str]]()
    for seed in range(2 * len(PROFILES)):
        met += _verdicts(seed)

    for kind in ("BlockCancelRequested", "BlockRetryRequested"):
        assert {verdict for name, verdict in met if name == kind} >= {"accepted", "duplicate", "stale"}
    assert met["BlockRetryRequested", "rejected"]


def _verdicts(seed: int) -> Counter[tuple[str, str]]:
    state, met = Partition(), Counter[tuple[str, str]]()
    for offset, record in enumerate(explore(seed, wishes=True).world.log):
        verdict = evolve(state, record.machine, record.event, offset).verdict
        if isinstance(record.event, BlockCancelRequested | BlockRetryRequested):
            met[type(record.event).__name__, verdict] += 1
    return met


def _any_attempt(same_life: Callable[[Block, Any], bool]) -> Callable[[Block, Any], bool]:
    """A wish counts whatever attempt it names."""
    return lambda block, event: isinstance(event, BlockCancelRequested) or same_life(block, event)


def _unlimited(execution: Any, offset: int) -> None:
    """A wish stops no hot decision that was made before it."""
    execution.latest = offset


BROKEN: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "a wish to run again counts again": lambda: swapped(iterations, "attempt_of", lambda *_: -1),
    "what is decided before a wish stands after it": lambda: swapped(iterations, "_touch", _unlimited),
    "what was barred is still next": lambda: swapped(run.Run, "move_on", lambda _: None),
    "what begins anew keeps its attempt": lambda: swapped(block, "Block", _first),
}


def _first(**fields: Any) -> Block:
    return Block(**{**fields, "attempt": 0})


@pytest.mark.slow
@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_of_wishes_is_found(rule: str) -> None:
    with BROKEN[rule]():
        report = campaign(range(200), stop=1, wishes=True)

    assert report.failed, f"{rule} survives {report.runs} seeds"
    assert explore(report.failed[0].seed, wishes=True).bad == []
