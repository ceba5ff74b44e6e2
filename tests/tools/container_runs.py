"""Runs of container tasks by hand, wherever they run: started, watched, and resumed with an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from noetl_stream.core.events import BlockId, Callback, CallbackReceived, Fact
from noetl_stream.core.tokens import issue
from noetl_stream.ports.tools import Done, Park
from noetl_stream.tools.container.runtime import Runtime
from noetl_stream.tools.container.tool import Container
from noetl_stream.tools.container.watching import Watcher
from tests.tools.conftest import call

BLOCK = BlockId("crunch", 0, 0)
TOKEN, LATER = (issue("seed", 7, BLOCK, 0, segment).text for segment in (0, 1))
CONFIG = {"image": "busybox", "command": "crunch", "env": {"KEY": "s3cret"}}


class Facts:
    """Stands where the event log stands."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[CallbackReceived] = asyncio.Queue()

    async def report(self, execution: int, fact: Fact) -> None:
        assert execution == 7
        assert isinstance(fact, CallbackReceived)
        self.told.put_nowait(fact)


@asynccontextmanager
async def watching(runtime: Runtime, facts: Facts) -> AsyncIterator[Watcher]:
    watcher = Watcher(runtime, facts, again_after=0.01)
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def start(runtime: Runtime, **fields: Any) -> Callback:
    tool = Container(runtime)
    outcome = await tool.run(call(tool, CONFIG, **({"callback": TOKEN, "timeout": None} | fields)))
    assert isinstance(outcome, Park)
    assert isinstance(outcome.wait, Callback)
    return outcome.wait


async def resume(runtime: Runtime, answer: Any) -> Done | Park:
    tool = Container(runtime)
    found = {"status": "ANSWERED", "answer": answer, "actor": "kubernetes", "time": 1.0}
    return await tool.run(call(tool, CONFIG, callback=LATER, answer=found, answered=True))
