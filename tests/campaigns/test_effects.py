"""A short campaign; `python -m tests.campaigns.effects` is the long one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from noetl_stream.core.events import ExecutionEnded
from noetl_stream.core.report import Story
from tests.campaigns.effect_lane import TIMES, Counts
from tests.campaigns.effect_site import Effect, Site
from tests.campaigns.effects import Effects, carry_out
from tests.postgres_server import Server

KILLS = 4
KEYS = range(TIMES)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_no_effect_happens_twice_though_workers_are_killed_between_effect_and_event(
    embedded_bootstrap: str, postgres: Server, tmp_path: Path
) -> None:
    report = Effects(goal=KILLS, seed=7, say=lambda line: None)

    await carry_out(report, tmp_path, embedded_bootstrap, postgres, lanes=2)

    counts = report.as_json()
    assert report.violations == []
    assert report.kills == KILLS
    assert counts["repeated"] != 0, "no kill struck between an effect and its event"
    assert sum(len(each.charges) for each in report.lanes) >= 4


def counted(*, rows: int = TIMES, local: int = TIMES, keys: int = TIMES, charged: int = 1) -> list[str]:
    """What is said against an execution whose effects happened so often, and a charge."""
    site = Site(told=lambda path: None)
    site.applied = {str(n): Effect("1", n % TIMES) for n in range(keys)}
    site.counted = Counter({Effect("2", 0): charged})
    done = Story(end=ExecutionEnded(status="COMPLETED"))
    return Counts(
        books={1: done},
        charges={2: done},
        results={1: [[n, 1] for n in KEYS]},
        rows=[("1", n % TIMES, n % TIMES) for n in range(rows)],
        told=[],
        local=Counter(Effect("1", n % TIMES) for n in range(local)),
        site=site,
    ).violations


def test_an_effect_that_happened_otherwise_than_it_should_is_told() -> None:
    assert counted() == []
    assert len(counted(rows=TIMES + 1)) == 1
    assert len(counted(local=TIMES - 1)) == 1
    assert len(counted(keys=TIMES + 1)) == 1
    assert counted(charged=2) == ["charge 2 COMPLETED and happened 2 times"]
    assert counted(charged=0) == ["charge 2 COMPLETED and happened 0 times"]
