"""Random plans that ask the outside, random faults, answers early, late, twice and forged: every invariant holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from noetl_stream.core import block, facts
from noetl_stream.core.block import Block
from noetl_stream.core.events import BlockParked, CallbackReceived
from noetl_stream.core.partition import Partition, evolve
from tests.simulation.explore import campaign, explore
from tests.simulation.faults import PROFILES
from tests.simulation.mutations import swapped

SEEDS = 8
"""Of each profile."""


@pytest.mark.parametrize("profile", PROFILES)
def test_whoever_asks_is_answered_once_and_truly_whatever_goes_wrong(profile: str) -> None:
    found = {seed: bad for seed in range(SEEDS) if (bad := explore(seed, profile, asks=True).bad)}

    assert not found


@pytest.mark.slow
@pytest.mark.parametrize(("together", "wishes"), [(True, False), (False, True), (True, True)])
def test_bundles_and_wishes_survive_it_too(together: bool, wishes: bool) -> None:
    report = campaign(range(120), asks=True, together=together, wishes=wishes)

    assert [run.bad for run in report.failed] == []


def test_the_answers_of_a_campaign_come_at_every_moment_and_meet_every_verdict() -> None:
    """Else the tests above show nothing."""
    met = Counter[str]()
    for seed in range(4 * len(PROFILES)):
        met += _met(seed)

    assert set(met) >= {"early", "accepted", "duplicate", "stale", "rejected", "kept until the park"}


def _met(seed: int) -> Counter[str]:
    state, met = Partition(), Counter[str]()
    for offset, record in enumerate(explore(seed, asks=True).world.log):
        event, before = record.event, _standing(state, record.machine, record.event)
        verdict = evolve(state, record.machine, event, offset).verdict
        if isinstance(event, CallbackReceived):
            met[verdict] += 1
            met["early"] += verdict == "accepted" and before is not None and before.status != "asking"
        if isinstance(event, BlockParked) and verdict == "accepted" and before is not None:
            met["kept until the park"] += before.early is not None
    return +met


def _standing(state: Partition, machine: int, event: Any) -> Block | None:
    execution = state.machines.get(machine)
    return None if execution is None else execution.blocks.get(getattr(event, "block", None))  # type: ignore[arg-type]


MOVE, AFTER = block.move, block._after


def _forgetful(stands: Block, event: Any, at: float) -> Block:
    """What comes before the park is not kept."""
    return (
        stands
        if isinstance(event, CallbackReceived) and stands.status != "asking"
        else AFTER(stands, event, at)
    )


def _deaf(stands: Block, event: Any, at: float) -> Block | None:
    """An early answer is kept for ever."""
    after = MOVE(stands, event, at)
    return replace(after, early=stands.early) if after is not None and stands.early is not None else after


BROKEN: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "whoever answers is believed": lambda: swapped(facts, "is_genuine", lambda *_: True),
    "an early answer is lost": lambda: swapped(block, "_after", _forgetful),
    "an early answer outlives its segment": lambda: swapped(facts, "move", _deaf),
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_of_answers_is_found(rule: str) -> None:
    with BROKEN[rule]():
        report = campaign(range(200), stop=1, asks=True)

    assert report.failed, f"{rule} survives {report.runs} seeds"
    assert explore(report.failed[0].seed, asks=True).bad == []
