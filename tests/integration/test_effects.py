"""`effects: at_most_once` on real processes: killed in the middle of its effect, a step says that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from noetl_stream.core.events import BlockContested
from noetl_stream.settings import Settings
from tests.integration.client import Client, installed, there
from tests.integration.processes import kill, roles

PAY = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: pay}
workflow:
- step: charge
  spec: {effects: at_most_once}
  tool:
    kind: python
    timeout: 5
    input: {folder: "{{ workload.folder }}"}
    code: |
      import pathlib, time
      place = pathlib.Path(folder)
      with (place / "charged").open("a") as effects:
          effects.write("once ")
      while not (place / "go").exists():
          time.sleep(0.02)
      result = "paid"
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"partitions": 1, "slots": 2, "processes": 2})


async def pay(client: Client, folder: Path) -> int:
    """An execution in the middle of its effect."""
    execution = await client.ask(await client.register(PAY), {"folder": str(folder)})
    await there(folder / "charged")
    return execution


async def test_a_worker_killed_between_the_claim_and_the_outcome_leaves_a_step_that_is_lost(
    settings: Settings, command: Path, tmp_path: Path
) -> None:
    async with installed(settings, "intake", "orchestrator") as client, roles(command, settings) as started:
        doomed = await started.start("worker")
        execution = await pay(client, tmp_path)
        await kill(doomed)
        await started.begin("worker")
        told = await client.told(execution)
        story = await client.story(execution)

    contested = [each.event for each in told if isinstance(each.event, BlockContested)]
    assert (tmp_path / "charged").read_text() == "once "
    assert story.status == "FAILED"
    assert story.end is not None
    assert story.end.error is not None
    assert (story.end.error.step, story.end.error.code) == ("charge", "lost")
    assert contested[0].effect in story.end.error.message


async def test_an_effect_whose_worker_lives_is_reported_once(settings: Settings, tmp_path: Path) -> None:
    async with installed(settings) as client:
        execution = await pay(client, tmp_path)
        (tmp_path / "go").touch()
        story = await client.story(execution)

    assert (story.status, (tmp_path / "charged").read_text()) == ("COMPLETED", "once ")
