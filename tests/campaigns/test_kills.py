"""A short campaign of each kind; `python -m tests.campaigns.kills` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns.kills import carry_out
from tests.campaigns.report import Report

SEED, KILLS = 7, 10


def campaign(victim: str, kills: int) -> Report:
    return Report(victim=victim, goal=kills, seed=SEED, say=lambda line: None)


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_nothing_acknowledged_is_lost_though_the_broker_is_killed_ten_times_in_mid_write(
    tmp_path: Path,
) -> None:
    report = campaign("broker", KILLS)

    await carry_out(report, tmp_path)

    assert report.violations == []
    assert report.kills == KILLS
    assert report.writer is not None
    assert report.writer.acknowledged > 1_000
    assert report.lanes[0].load.ended >= 3


@pytest.mark.timeout(150)
async def test_every_execution_ends_once_though_orchestrators_and_workers_are_killed(
    bootstrap: str, tmp_path: Path
) -> None:
    report = campaign("engine", KILLS)

    await carry_out(report, tmp_path, lanes=3, bootstrap=bootstrap)

    assert report.violations == []
    assert report.kills == KILLS
    assert sum(lane.load.ended for lane in report.lanes) >= KILLS
