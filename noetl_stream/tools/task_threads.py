"""Work that blocks runs in threads: at most so many at once, each stopped when its time is over or nobody waits."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from noetl_stream.tools.running_time import running_time

_INTERRUPT_AGAIN = 0.01


class Session(Protocol):
    """One task's work, done by one thread; the event loop only interrupts it."""

    def run(self, text: str) -> dict[str, Any]:
        """Do it all: of an embedded database, every statement of `text`. Raises ToolError."""

    def stop(self) -> None:
        """Begin nothing further, and interrupt what runs. May be called again and again."""


class TaskThreads:
    """The threads of one kind."""

    def __init__(self, kind: str, threads: int) -> None:
        self._kind = kind
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=kind)

    async def run(self, session: Session, text: str, timeout: float | None) -> dict[str, Any]:
        """The session's result, within `timeout` seconds (waiting for a thread included).

        Raises:
            ToolError: it failed, or its time is over. The thread has left by then.
        """
        running = self._threads.submit(session.run, text)
        answer = asyncio.wrap_future(running)
        try:
            async with running_time(self._kind, timeout):
                return await asyncio.shield(answer)
        finally:
            running.cancel()
            await _stopped(session, answer)

    def close(self) -> None:
        """Wait for every thread."""
        self._threads.shutdown(wait=True)


async def _stopped(session: Session, answer: asyncio.Future[dict[str, Any]]) -> None:
    """Return once the thread has left. An interrupt between two statements is lost, hence again and again."""
    while not answer.done():
        session.stop()
        await asyncio.wait([answer], timeout=_INTERRUPT_AGAIN)
    if not answer.cancelled():
        answer.exception()
