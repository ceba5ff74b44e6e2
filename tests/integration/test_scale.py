"""An installation grows and shrinks while it works: processes join, die, or sleep past their session and come back."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest

from noetl_stream.settings import Settings
from tests.campaigns.load import Load
from tests.integration.client import LIMIT, installed
from tests.integration.processes import kill, roles
from tests.integration.test_rolling_restart import LOOP

PARTITIONS = 4
ITERATIONS = 100


@pytest.mark.timeout(4 * LIMIT)
async def test_processes_join_die_and_come_back_as_zombies_and_every_iteration_counts_once(
    settings: Settings, command: Path
) -> None:
    settings = settings.model_copy(update={"partitions": PARTITIONS})
    async with installed(settings, "intake") as client, roles(command, settings) as started:
        load = Load(client=client)
        async with load.following(), asyncio.timeout(3 * LIMIT):
            sleepy, dying, drowsy, *_ = await asyncio.gather(
                *(started.start(role) for role in ("orchestrator", "worker", "worker", "worker"))
            )
            [doomed] = {ledger.owner for ledger in load.ledgers}
            await started.start("orchestrator")
            path, size = await client.register(LOOP), {"count": ITERATIONS}
            executions = [await client.ask_in(partition, path, size) for partition in range(PARTITIONS)]
            await load.until(lambda: all(ledger.outcomes > ITERATIONS // 10 for ledger in load.ledgers))

            sleepy.send_signal(signal.SIGSTOP)
            drowsy.send_signal(signal.SIGSTOP)
            await kill(dying)
            await started.begin("orchestrator")
            await load.until(lambda: doomed not in {ledger.owner for ledger in load.ledgers})
            sleepy.send_signal(signal.SIGCONT)
            drowsy.send_signal(signal.SIGCONT)
            await load.until(lambda: load.ended == len(executions))
            stories = [await client.story(execution) for execution in executions]
            results = [(await client.results(story))["each"]["results"] for story in stories]

    assert load.fences > PARTITIONS
    assert _accepted(load) == Counter(
        (execution, f"each/0/{n}") for execution in executions for n in range(ITERATIONS)
    )
    assert [bad for ledger in load.ledgers for bad in ledger.violations] == []
    assert results == [[n * n for n in range(ITERATIONS)]] * PARTITIONS


def _accepted(load: Load) -> Counter[tuple[int, str]]:
    return Counter({key: times for ledger in load.ledgers for key, times in ledger.completed.items()})
