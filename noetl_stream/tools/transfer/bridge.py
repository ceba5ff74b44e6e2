"""Where a transfer's thread meets the event loop: clients that live there do their work for the thread, and are cancelled there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from noetl_stream.errors import ToolError

T = TypeVar("T")


class Bridge:
    """One end's way to the loop that it was made on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = set[asyncio.Task[Any]]()
        self._stopped = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result, awaited by a thread.

        Raises:
            ToolError: it was stopped; by then it has left the loop.
        """
        return asyncio.run_coroutine_threadsafe(self._until_stopped(work), self._loop).result()

    def stop(self) -> None:
        """End what runs, once: its cleaning up is left in peace. Called on the loop."""
        if not self._stopped:
            self._stopped = True
            for task in self._tasks:
                task.cancel()

    async def _until_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        if self._stopped:
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            raise ToolError("the transfer was stopped", kind="cancelled") from None
        finally:
            self._tasks.discard(task)
