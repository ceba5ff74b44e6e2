"""Tells blocks how their containers have ended. Nothing is kept here: each start is shown those whose end is not told yet.

Each worker process has a watcher, so several tell of one end; the second finds the block answered, and counts for nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import Final

from noetl_stream.core.events import BlockId
from noetl_stream.core.tokens import Token
from noetl_stream.errors import NoetlError
from noetl_stream.ports.facts import FactLog
from noetl_stream.tools.container.runtime import End, Runtime, Seen, View

log = logging.getLogger(__name__)

AGAIN_AFTER: Final = 2.0
REMEMBERED: Final = 10_000
MESSAGE_LENGTH: Final = 1024


class Watcher:
    """Of all that the runtime shows. `stop_execution` and `stop_block` are hints, as workers get them."""

    def __init__(self, runtime: Runtime, facts: FactLog, *, again_after: float = AGAIN_AFTER) -> None:
        self._runtime, self._facts, self._again_after = runtime, facts, again_after
        self._open: dict[str, Seen] = {}
        self._unwanted: OrderedDict[tuple[int, BlockId | None], float] = OrderedDict()
        self._hinted = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for view in self._runtime.views():
                group.create_task(self._follow(view))
            group.create_task(self._stop_unwanted())

    def stop_execution(self, execution: int) -> None:
        """An execution is over: its containers are deleted."""
        self._stop(execution, None, float("inf"))

    def stop_block(self, execution: int, block: BlockId, attempt: int) -> None:
        """A block's attempts up to this one are no longer wanted."""
        self._stop(execution, block, attempt)

    def _stop(self, execution: int, block: BlockId | None, attempt: float) -> None:
        self._unwanted[execution, block] = attempt
        if len(self._unwanted) > REMEMBERED:
            self._unwanted.popitem(last=False)
        self._hinted.set()

    async def _follow(self, view: View) -> None:
        """Follow it until the runtime ends it; then again."""
        said = ""
        while True:
            try:
                await view.follow(self)
                said = ""
            except NoetlError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s are not watched for now: %s", view.name, said)
            await asyncio.sleep(self._again_after)

    def forget(self, place: str, /) -> None:
        self._open = {key: seen for key, seen in self._open.items() if seen.place != place}

    async def see(self, seen: Seen, /) -> None:
        self._open.pop(seen.key, None)
        if seen.end is not None:
            await self._end(seen, seen.end)
            if seen.doomed:
                await self._runtime.delete(seen)
        elif self._is_unwanted(seen.token):
            await self._cancel(seen)
        else:
            self._open[seen.key] = seen

    async def _end(self, seen: Seen, end: End) -> None:
        """Tell the block, and only when that is durable let the container go."""
        token, reason = seen.token, seen.why
        answer = {
            "status": end,
            "job": seen.name,
            "exit_code": seen.exit_code,
            "reason": reason.reason,
            "message": None if reason.message is None else str(reason.message)[:MESSAGE_LENGTH],
        }
        event = token.answered(answer, by=self._runtime.name, at=time.time())
        await self._facts.report(token.execution, event)
        await self._runtime.mark(seen, end)

    async def _cancel(self, seen: Seen) -> None:
        await self._end(seen, "cancelled")
        await self._runtime.delete(seen)

    def _is_unwanted(self, token: Token) -> bool:
        whole = self._unwanted.get((token.execution, None), -1)
        return token.attempt <= max(whole, self._unwanted.get((token.execution, token.block), -1))

    async def _stop_unwanted(self) -> None:
        """Heed hints that come after their containers were seen."""
        while True:
            await self._hinted.wait()
            self._hinted.clear()
            try:
                for key, seen in list(self._open.items()):
                    if self._is_unwanted(seen.token):
                        await self._cancel(seen)
                        self._open.pop(key, None)
            except NoetlError as error:
                log.warning("a container that nobody wants is not deleted yet: %s", error)
                self._hinted.set()
                await asyncio.sleep(self._again_after)
