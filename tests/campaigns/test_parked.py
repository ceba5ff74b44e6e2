"""A short one; `python -m tests.campaigns.parked` is that of a thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns.parked import parked

EXECUTIONS = 60


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_all_that_wait_for_somebody_outlive_a_kill_of_everything_and_end_once(tmp_path: Path) -> None:
    found = await parked(tmp_path, EXECUTIONS, partitions=2, wait=20.0, limit=60.0)

    assert found.violations == []
    assert found.ended == EXECUTIONS
