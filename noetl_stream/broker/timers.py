"""Alarms by name, each of which starts a piece of work once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)


class Timers:
    """Rings `work(name)` after a time. Lives on one event loop."""

    def __init__(self, work: Callable[[str], Awaitable[None]]) -> None:
        self._work = work
        self._pending: dict[str, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[None]] = set()

    def set(self, name: str, seconds: float) -> None:
        """Ring after `seconds`, unless cancelled before. An earlier alarm of that name is replaced."""
        self.cancel(name)
        self._pending[name] = asyncio.get_running_loop().call_later(seconds, self._ring, name)

    def cancel(self, name: str) -> None:
        pending = self._pending.pop(name, None)
        if pending is not None:
            pending.cancel()

    async def close(self) -> None:
        """Ring no more, and cut off what has begun."""
        for name in list(self._pending):
            self.cancel(name)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ring(self, name: str) -> None:
        del self._pending[name]
        task = asyncio.ensure_future(self._run(name))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, name: str) -> None:
        try:
            await self._work(name)
        except OSError as error:
            logger.warning("what was due for %s could not be stored: %s", name, error)
        except Exception:
            logger.exception("what was due for %s failed; report it with this trace", name)
