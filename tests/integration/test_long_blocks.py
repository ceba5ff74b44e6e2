"""A worker killed in the middle of a block: its offer is still unacknowledged, or its claim runs out, and it runs again."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from noetl_stream.adapters.admin import committed_offsets
from noetl_stream.core.events import BlockClaimed, BlockOffered
from noetl_stream.settings import Settings
from noetl_stream.worker.lease import USUAL
from tests.conftest import BROKERS
from tests.integration.client import LIMIT, Client, installed
from tests.integration.processes import kill, roles
from tests.integration.test_kills import accepted
from tests.integration.test_requests import GREET

WORK = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: stuck_once}
workflow:
- step: work
  tool:
    kind: python
    input: {file: "{{ workload.file }}"}
    code: |
      import pathlib, time
      runs = pathlib.Path(file)
      if not runs.exists():
          runs.write_text("once")
          time.sleep(120)
      result = "again"
"""
COMMITS = 2.0
"""Seconds in which Faust commits four times."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One partition, so that what comes after a block stands behind it."""
    return settings.model_copy(update={"partitions": 1})


async def test_what_follows_a_running_block_commits_nothing_past_it_and_it_runs_again_after_a_kill(
    settings: Settings, command: Path, tmp_path: Path
) -> None:
    async with installed(settings, "intake", "orchestrator") as client, roles(command, settings) as started:
        doomed = await started.start("worker")
        await client.register(GREET)
        execution = await client.ask(await client.register(WORK), {"file": str(tmp_path / "runs")})
        began = time.monotonic()
        while time.monotonic() - began < COMMITS or not (tmp_path / "runs").exists():
            await client.story(await client.ask("greet"))
        assert await _committed(client) == 0
        await kill(doomed)
        await started.begin("worker")
        told = await client.told(execution)
        results = await client.results(await client.story(execution))

    assert results == {"work": "again"}
    assert accepted(told) == {"work/0/0": 1}


# A lease of 30 s is waited for, which no broker has a part in: one of them is enough.
@pytest.mark.parametrize("bootstrap", BROKERS[:1], indirect=True)
async def test_a_detached_block_of_a_killed_worker_is_offered_again_when_its_claim_runs_out(
    settings: Settings, command: Path, tmp_path: Path
) -> None:
    async with installed(settings, "intake", "orchestrator") as client, roles(command, settings) as started:
        doomed = await started.start("worker")
        execution = await client.ask(await client.register(WORK), {"file": str(tmp_path / "runs")})
        await client.told(execution, until=lambda told: isinstance(told.event, BlockClaimed))
        async with asyncio.timeout(LIMIT):
            while await _committed(client) == 0:
                pass
        await kill(doomed)
        await started.begin("worker")
        told = await client.told(execution, limit=USUAL.lease + LIMIT)
        results = await client.results(await client.story(execution))

    assert results == {"work": "again"}
    assert accepted(told) == {"work/0/0": 1}
    offers = [move for each in told for move in each.folded.moves if isinstance(move, BlockOffered)]
    assert len(offers) == 2


async def _committed(client: Client) -> int:
    """How far the workers' group has committed: 0 while nothing was."""
    settings = client.platform.settings
    topic = settings.topics.blocks("default").name
    return (await committed_offsets(settings.bootstrap, settings.group("worker.default"), topic)).get(0, 0)
