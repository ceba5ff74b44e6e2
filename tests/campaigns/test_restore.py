"""A short restore; `python -m tests.campaigns.restore` is the one of ten thousand."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.restore import restoration

EXECUTIONS = 400
DELAY = 10.0
"""Seconds that every second one waits for its timer: longer than the group needs to notice a death."""
MEGABYTES = 200


async def test_executions_that_are_open_when_their_orchestrator_is_killed_all_complete_once_under_the_next(
    bootstrap: str, tmp_path: Path
) -> None:
    found = await restoration(bootstrap, tmp_path, EXECUTIONS, partitions=2, delay=DELAY, limit=30.0)

    assert found.violations == []
    assert found.ended == EXECUTIONS
    assert 0 < found.memory_peak < MEGABYTES
