"""Iterations that travel together over a real log: few records, each with its own outcome, also when a worker is killed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from noetl_stream.core.events import BlockOffered, BlocksReported, Decision
from noetl_stream.replay.telling import Told
from noetl_stream.settings import Settings
from tests.integration.client import installed, there
from tests.integration.processes import kill, roles
from tests.integration.test_kills import accepted

MANY = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: many}
workflow:
- step: each
  loop:
    in: "{{ 1000 }}"
    iterator: i
    spec: {mode: parallel, max_in_flight: 400, frame: {max_rows: 100}, policy: {on_error: continue}}
  tool:
    kind: noop
    result: "{{ i // (i % 250) }}"
"""
MIXED = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: mixed}
workflow:
- step: each
  loop:
    in: [0, 1, 2, 3, 4, 5]
    iterator: i
    spec: {mode: MODE, max_in_flight: 6, frame: {max_rows: 6}, policy: {on_error: continue}}
  tool:
    kind: python
    input: {i: "{{ i }}", folder: "{{ workload.folder }}"}
    code: |
      import pathlib, time
      runs = pathlib.Path(folder) / f"runs of {i}"
      before = runs.read_text() if runs.exists() else ""
      runs.write_text(before + "x")
      if i == 4 and not before:
          time.sleep(60)
      if i == 2 and not before:
          raise ConnectionError("not yet")
      if i == 3:
          raise ValueError("never")
      result = i * 10
    retry: {max_attempts: 3, delay: 3, retry_on: [python]}
"""


async def test_a_thousand_iterations_take_few_records_and_keep_their_order(settings: Settings) -> None:
    async with installed(settings) as client:
        execution = await client.ask(await client.register(MANY))
        told = await client.told(execution)
        story = await client.story(execution)
        results = (await client.results(story))["each"]

    assert results["stats"] == {"total": 1000, "success": 996, "failed": 4}
    assert [r for n, r in enumerate(results["results"]) if n % 250] == [
        n // (n % 250) for n in range(1000) if n % 250
    ]
    assert len(told) < 100
    assert sum(isinstance(each.event, BlocksReported) for each in told) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["parallel", "sequential"])
async def test_a_worker_killed_in_the_middle_of_a_bundle_loses_none_and_none_counts_twice(
    settings: Settings, command: Path, tmp_path: Path, mode: str
) -> None:
    async with installed(settings, "intake", "orchestrator") as client, roles(command, settings) as started:
        doomed = await started.start("worker")
        path = await client.register(MIXED.replace("MODE", mode))
        execution = await client.ask(path, {"folder": str(tmp_path)})
        await there(tmp_path / "runs of 4")
        await kill(doomed)
        await started.begin("worker")
        told = await client.told(execution)
        results = (await client.results(await client.story(execution)))["each"]

    assert accepted(told) == Counter({f"each/0/{n}": 1 for n in (0, 1, 2, 4, 5)})
    assert results["stats"] == {"total": 6, "success": 5, "failed": 1}
    assert [r for n, r in enumerate(results["results"]) if n != 3] == [0, 10, 20, 40, 50]
    assert _alone(told) >= {(3, 1), (3, 2)}


def _alone(told: list[Told]) -> set[tuple[int, int]]:
    """The iterations that were offered by themselves, each with its attempt."""
    moves = [m for each in told if isinstance(each.event, Decision) for m in each.folded.moves]
    return {(m.block.iteration, m.attempt) for m in moves if isinstance(m, BlockOffered) and m.count == 1}
