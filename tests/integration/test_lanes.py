"""Priorities: what waits in the high lane passes what waits in the low one, and none of it is lost when a worker dies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from noetl_stream.settings import Settings
from tests.contract.clients import eventually
from tests.integration.client import Client, installed
from tests.integration.processes import kill, roles
from tests.integration.test_kills import accepted

JOB = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: job}
workflow:
- step: work
  tool:
    kind: python
    input: {name: "{{ workload.name }}", folder: "{{ workload.folder }}"}
    code: |
      import pathlib, time
      place = pathlib.Path(folder)
      with (place / "began").open("a") as began:
          began.write(name + "\\n")
      while name == "first" and not (place / "go").exists():
          time.sleep(0.02)
      time.sleep(0.02)
      result = name
"""
MANY = 50


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One slot, and one partition: whatever waits, waits for the same slot."""
    return settings.model_copy(update={"partitions": 1, "slots": 1, "processes": 1})


async def queued(client: Client, folder: Path) -> list[int]:
    """One job that runs until it may end, and behind it fifty in the low lane, then one in the high: all offered."""
    path, where = await client.register(JOB), {"folder": str(folder)}
    asked = [await client.ask(path, {**where, "name": "first"})]
    await so_many_began(folder, 1)
    low = [client.ask(path, {**where, "name": f"low {n}"}, priority="low") for n in range(MANY)]
    asked += await asyncio.gather(*low)
    topics = client.platform.topics
    await client.records(topics.blocks("default", "low").name, 0, MANY)
    asked.append(await client.ask(path, {**where, "name": "high"}, priority="high"))
    await client.records(topics.blocks("default", "high").name, 0, 1)
    return asked


def began(folder: Path) -> list[str]:
    """What began, in that order."""
    file = folder / "began"
    return file.read_text().splitlines() if file.exists() else []


async def so_many_began(folder: Path, count: int) -> None:
    async def have() -> bool:
        return len(await asyncio.to_thread(began, folder)) >= count

    await eventually(have)


async def test_a_high_request_passes_fifty_low_ones_that_wait_for_the_only_slot(
    settings: Settings, tmp_path: Path
) -> None:
    async with installed(settings) as client:
        asked = await queued(client, tmp_path)
        (tmp_path / "go").touch()
        stories = [await client.story(execution) for execution in asked]

    # It has been on its way to the worker for some milliseconds at most when the slot gets free.
    assert began(tmp_path).index("high") < MANY // 5
    assert {story.status for story in stories} == {"COMPLETED"}


async def test_no_lane_loses_anything_when_its_worker_is_killed(
    settings: Settings, command: Path, tmp_path: Path
) -> None:
    async with installed(settings, "intake", "orchestrator") as client, roles(command, settings) as started:
        doomed = await started.start("worker")
        asked = await queued(client, tmp_path)
        (tmp_path / "go").touch()
        await so_many_began(tmp_path, MANY // 5)
        await kill(doomed)
        await started.begin("worker")
        told = [await client.told(execution) for execution in asked]

    assert [accepted(each) for each in told] == [{"work/0/0": 1}] * len(asked)
    assert set(began(tmp_path)) == {"first", "high", *(f"low {n}" for n in range(MANY))}
