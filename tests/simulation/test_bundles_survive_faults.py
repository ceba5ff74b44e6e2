"""Iterations that travel together, under every profile of faults: each counts once, and in sequence in its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from noetl_stream.core import execution, facts
from noetl_stream.core.events import BlocksReported
from tests.simulation.explore import campaign, explore
from tests.simulation.faults import PROFILES
from tests.simulation.mutations import swapped

RUNS = 15
"""Of each profile, in the default run."""
SEEDS = 60


@pytest.mark.parametrize("profile", PROFILES)
def test_every_invariant_holds_for_what_travels_together(profile: str) -> None:
    found = {seed: bad for seed in range(RUNS) if (bad := explore(seed, profile, together=True).bad)}

    assert not found


def test_a_bundle_of_which_some_are_stopped_or_run_again_loses_none() -> None:
    """2204 once lost what came along with an iteration that was cancelled while it was to be retried."""
    seeds = (*range(RUNS), 2204, 2281)

    found = {seed: bad for seed in seeds if (bad := explore(seed, together=True, wishes=True).bad)}

    assert not found


def test_runs_do_report_together_and_in_parts() -> None:
    """Else the runs above would show nothing."""
    sizes = {len(event.facts) for seed in range(RUNS) for event in _reports(seed)}

    assert len(sizes) >= 2


def _reports(seed: int) -> Iterator[BlocksReported]:
    log = explore(seed, together=True).world.log
    return (record.event for record in log if isinstance(record.event, BlocksReported))


BROKEN: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "what follows one that waits is left in flight": lambda: swapped(
        facts, "withdraw_after", lambda *_: None
    ),
    "a report counts by its first fact alone": lambda: swapped(execution, "reported", _first_alone),
}


def _first_alone(machine: object, event: BlocksReported, offset: int) -> object:
    return facts.fact(machine, event.facts[0], offset)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_of_bundles_is_found(rule: str) -> None:
    with BROKEN[rule]():
        report = campaign(range(SEEDS), stop=1, together=True)

    assert report.failed, f"{rule} survives {report.runs} seeds"
    assert explore(report.failed[0].seed, together=True).bad == []
