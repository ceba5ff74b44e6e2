"""Processes killed at any moment of the log: the run completes, with the result of an undisturbed one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from noetl_stream.core.events import BlockCompleted
from noetl_stream.replay.telling import Told
from noetl_stream.settings import Settings
from tests.conftest import BROKERS
from tests.integration.client import Client, installed
from tests.integration.demo import BLOCKS, DEMO, Outcome, outcome
from tests.integration.processes import Roles, kill, roles

SEED = 20_131


def accepted(told: list[Told]) -> Counter[str]:
    """How often each block's completion was accepted."""
    facts = (fact for each in told for fact in each.folded.counted)
    return Counter(str(fact.block) for fact in facts if isinstance(fact, BlockCompleted))


@asynccontextmanager
async def spread_out(settings: Settings, command: Path) -> AsyncIterator[tuple[Client, Roles]]:
    """An installation whose intake runs in this process; the rest is for the test to start."""
    async with installed(settings, "intake") as client, roles(command, settings) as started:
        yield client, started


def strikes() -> list[ParameterSet]:
    """Whom to kill after how many accepted completions: before the first, before the last, and by chance between."""
    chance = random.Random(SEED)
    return [
        pytest.param(broker.values[0], victim, moment, marks=broker.marks)
        for broker, chosen in zip(
            BROKERS, ((0, chance.randrange(1, BLOCKS - 1), BLOCKS - 1), (7,)), strict=True
        )
        for victim in ("worker", "orchestrator")
        for moment in chosen
    ]


@pytest.mark.parametrize(("bootstrap", "victim", "moment"), strikes(), indirect=["bootstrap"])
async def test_the_demo_completes_with_the_same_result_though_a_process_is_killed(
    settings: Settings, command: Path, tmp_path: Path, undisturbed: Outcome, victim: str, moment: int
) -> None:
    async with spread_out(settings, command) as (client, started):
        path = await client.register(DEMO)
        running = await asyncio.gather(started.start("orchestrator"), started.start("worker"))
        execution = await client.ask(path, {"out": str(tmp_path / "out")})
        before = await client.told(execution, until=completions(moment))
        await kill(running[("orchestrator", "worker").index(victim)])
        await started.begin(victim)
        told = await client.told(execution)
        found = await outcome(client, await client.story(execution), tmp_path / "out")

    assert len(before) < len(told)
    assert set(accepted(told).values()) == {1}
    assert found.table.equals(undisturbed.table)
    assert found.summary == undisturbed.summary


def completions(count: int) -> Callable[[Told], bool]:
    """Waits for so many accepted completions, or for the request if for none."""
    seen: list[Told] = []

    def enough(told: Told) -> bool:
        seen.append(told)
        return sum(accepted(seen).values()) >= count

    return enough
