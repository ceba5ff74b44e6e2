"""Many executions wait for answers: they hold no slot, outlive a restart of everything, and each is answered once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from noetl_stream.cli.running import everything
from noetl_stream.replay.waiting import Asking, waiting
from noetl_stream.settings import Settings
from noetl_stream.wiring import Platform
from tests.integration.client import LIMIT, Client

pytestmark = pytest.mark.slow

MANY = 200
ASK = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: asks}
workflow:
- {step: ask, tool: {kind: callback, prompt: "number {{ workload.n }}"}}
"""
QUICK = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: quick}
workflow:
- {step: work, tool: {kind: noop, result: done}}
"""


async def asking(platform: Platform, count: int) -> list[Asking]:
    """All that ask, once they are so many."""
    async with asyncio.timeout(2 * LIMIT):
        while True:
            found = [each async for each in waiting(platform.reader, platform.topics)]
            if len(found) == count:
                return found


@pytest.mark.timeout(8 * LIMIT)
async def test_many_that_wait_hold_no_slot_and_outlive_a_restart_of_everything(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, partitions=2, slots=2)
    async with everything(settings) as platform:
        client = Client(platform=platform)
        path = await client.register(ASK)
        executions = await asyncio.gather(*(client.ask(path, {"n": n}) for n in range(MANY)))
        before = await asking(platform, MANY)
        quick = await client.run(QUICK)

    async with everything(settings) as platform:
        client = Client(platform=platform)
        after = await asking(platform, MANY)
        for asked in after:
            await client.answer(asked.token, asked.ask["prompt"])
            await client.answer(asked.token, asked.ask["prompt"])
        async with asyncio.timeout(2 * LIMIT):
            await asking(platform, 0)
        ends = [await client.story(execution) for execution in executions[:: MANY // 10]]

    assert quick.status == "COMPLETED"
    assert sorted(each.token.execution for each in after) == sorted(executions)
    assert {each.token.text for each in after} == {each.token.text for each in before}
    assert [end.end and end.end.result for end in ends] == [f"number {n}" for n in range(0, MANY, MANY // 10)]
