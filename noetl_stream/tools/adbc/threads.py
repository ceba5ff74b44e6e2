"""Threads for drivers, which nothing stops for sure: one that does not come back is left behind, and its task's slot is free."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from noetl_stream.errors import ToolError
from noetl_stream.tools.running_time import running_time
from noetl_stream.tools.task_threads import Session

PATIENCE: Final = 2.0
"""Seconds: so long a driver may take to notice that it is stopped."""
MOST_BEHIND: Final = 16
_AGAIN: Final = 0.02


class DriverThreads:
    """The threads of one kind: at most so many tasks at once, and `MOST_BEHIND` whose driver did not come back yet."""

    def __init__(self, kind: str, threads: int, *, patience: float = PATIENCE) -> None:
        self._kind, self._patience = kind, patience
        self._places = asyncio.Semaphore(threads)
        self._behind: list[threading.Thread] = []

    async def run(self, session: Session, text: str, timeout: float | None) -> dict[str, Any]:
        """The session's result, within `timeout` seconds (waiting for a thread included).

        Raises:
            ToolError: it failed, its time is over, or too many drivers do not come back.
        """
        async with running_time(self._kind, timeout), self._places:
            self._check_room()
            ran: Future[dict[str, Any]] = Future()
            ran.set_running_or_notify_cancel()
            thread = _begun(lambda: _fulfil(ran, lambda: session.run(text)))
            answer = asyncio.wrap_future(ran)
            try:
                return await asyncio.shield(answer)
            except asyncio.CancelledError:
                await self._stopped(session, answer, thread)
                raise

    async def _stopped(
        self, session: Session, answer: asyncio.Future[dict[str, Any]], thread: threading.Thread
    ) -> None:
        """Return once the thread has left, or patience has. Stopping may wait for the server too, hence its own thread."""
        loop = asyncio.get_running_loop()
        until, stopping = loop.time() + self._patience, _begun(session.stop)
        while not answer.done() and loop.time() < until:
            await asyncio.wait([answer], timeout=_AGAIN)
            if not stopping.is_alive():
                stopping = _begun(session.stop)
        if answer.done():
            answer.exception()
        else:
            answer.cancel()
            self._behind.append(thread)

    def _check_room(self) -> None:
        self._behind = [each for each in self._behind if each.is_alive()]
        if len(self._behind) >= MOST_BEHIND:
            raise ToolError(
                f"{len(self._behind)} {self._kind} tasks were stopped whose driver still waits for its server; "
                "see whether those servers answer, and try again",
                kind="connection",
                code="unanswered",
                retryable=True,
            )


def _begun(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True, name="adbc")
    thread.start()
    return thread


def _fulfil(ran: Future[dict[str, Any]], act: Callable[[], dict[str, Any]]) -> None:
    try:
        ran.set_result(act())
    except BaseException as error:  # it is raised where the result is awaited
        ran.set_exception(error)
