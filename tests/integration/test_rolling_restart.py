"""Processes come and go under load: every execution ends, and every block of it is accepted once, in its place."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest

from noetl_stream.settings import Settings
from tests.campaigns.load import ERRAND, Load
from tests.integration.client import LIMIT, connected, installed
from tests.integration.processes import end, kill, roles
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
INSTALLATION = ("intake", "orchestrator", "orchestrator", "worker", "worker")


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


@pytest.mark.timeout(4 * LIMIT)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
async def test_no_execution_is_lost_or_counts_twice_while_each_process_is_replaced_in_turn(
    settings: Settings, command: Path, how: signal.Signals
) -> None:
    async with connected(settings) as client, roles(command, settings) as started:
        await client.register(ERRAND)
        load, stop = Load(client=client), asyncio.Event()
        async with load.following(), asyncio.timeout(3 * LIMIT):
            running = await asyncio.gather(*map(started.start, INSTALLATION))
            asking = asyncio.create_task(load.submit(stop))
            await load.until(lambda: load.ended > 0)
            for role, process in zip(INSTALLATION, running, strict=True):
                await end(process, how)
                await started.start(role)
            asked = len(load.asked)
            await load.until(lambda: load.ended > asked)
            stop.set()
            await load.tell()
            await asking
            await load.until(lambda: load.open == 0)

    assert load.violations == []
    assert {process.returncode for process in running} == {0 if how is signal.SIGTERM else -how}
