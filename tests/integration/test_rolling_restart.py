"""Processes come and go under a running loop: every iteration is accepted once, in its place."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from noetl_stream.settings import Settings
from tests.integration.client import installed
from tests.integration.processes import kill, roles
from tests.integration.test_kills import accepted, completions

ITERATIONS = 200
LOOP = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: rolling}
workflow:
- step: each
  loop: {in: "{{ workload.count }}", iterator: n, spec: {mode: parallel, max_in_flight: 8}}
  tool: {kind: python, input: {n: "{{ n }}"}, code: "import time; time.sleep(0.02); result = n * n"}
"""


async def test_every_iteration_of_a_loop_counts_once_while_processes_are_replaced(
    settings: Settings, command: Path
) -> None:
    both = ("orchestrator", "worker")
    async with installed(settings, "intake") as client, roles(command, settings) as started:
        path = await client.register(LOOP)
        running = await asyncio.gather(*map(started.start, both * 2))
        execution = await client.ask(path, {"count": ITERATIONS})
        await client.told(execution, until=completions(ITERATIONS // 4))
        await kill(running[0])
        await kill(running[1])
        before = await client.told(execution, until=completions(ITERATIONS // 4 + 1))
        await asyncio.gather(*map(started.begin, both))
        told = await client.told(execution)
        story = await client.story(execution)
        results = (await client.results(story))["each"]["results"]

    assert story.status == "COMPLETED", story.end
    assert results == [n * n for n in range(ITERATIONS)]
    assert accepted(told) == Counter(f"each/0/{n}" for n in range(ITERATIONS))
    assert len(before) < len(told)
