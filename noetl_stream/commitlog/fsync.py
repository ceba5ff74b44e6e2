"""Group commit: one sweep of fdatasync at a time serves every append that waits for it.

Policy "commit" (the default): what was acknowledged with acks=all survives kill -9 and power loss, as far as the
disk keeps what it reports as flushed. Policy "none": it survives kill -9, since the kernel has the bytes, but power
loss may take what the kernel had not yet written.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple, Protocol

from noetl_stream.errors import InfrastructureError

FsyncPolicy = Literal["commit", "none"]


class Mark(NamedTuple):
    """A place in an append-only file: bytes, and what its owner counts (offsets, entries)."""

    position: int
    offset: int


class DurableFile(Protocol):
    """What the sweep needs of a file: its descriptor, its end, and to be told what is now durable."""

    def fileno(self) -> int: ...

    def end(self) -> Mark: ...

    def synced(self, mark: Mark) -> None: ...


class GroupCommit:
    """Collects dirty files, syncs them in a thread, wakes whoever waited. Lives on one event loop.

    A failed fdatasync cannot be repeated: the kernel may already have dropped the pages. So the first failure is
    final; every wait raises it, `on_failure` is called once, and the broker must stop.
    """

    def __init__(self, policy: FsyncPolicy, on_failure: Callable[[InfrastructureError], None]) -> None:
        self._policy, self._on_failure = policy, on_failure
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fsync")
        self._dirty: dict[DurableFile, None] = {}
        self._sweeping: dict[DurableFile, Mark] = {}
        self._next: asyncio.Future[None] = self._loop.create_future()
        self._running: asyncio.Future[None] | None = None
        self._failure: InfrastructureError | None = None

    def mark_dirty(self, file: DurableFile) -> None:
        """Bytes were appended to `file`: sync them soon."""
        if self._policy == "none":
            file.synced(file.end())
            return
        self._dirty[file] = None
        if self._running is None and len(self._dirty) == 1:
            # One turn of the loop later: every append that is ready now shares the sweep.
            self._loop.call_soon(self._start)

    async def durable(self, file: DurableFile) -> None:
        """Wait until all that `file` holds now is durable.

        Raises:
            InfrastructureError: the disk failed; the bytes may be lost.
        """
        if self._failure is not None:
            raise self._failure
        if file in self._dirty:
            await asyncio.shield(self._next)
        elif file in self._sweeping and self._running is not None:
            await asyncio.shield(self._running)

    async def flush(self) -> None:
        """Wait until nothing is dirty, or the disk has failed."""
        while (self._dirty or self._running is not None) and self._failure is None:
            await asyncio.wait([self._running or self._next])

    async def close(self) -> None:
        """Sync what is still dirty and end the thread."""
        await self.flush()
        self._thread.shutdown()

    def _start(self) -> None:
        if self._running is not None or not self._dirty or self._failure is not None:
            return
        self._sweeping = {file: file.end() for file in self._dirty}
        self._dirty = {}
        self._running, self._next = self._next, self._loop.create_future()
        self._thread.submit(self._sweep, [file.fileno() for file in self._sweeping])

    def _sweep(self, descriptors: list[int]) -> None:
        """In the thread. The loop is told directly, which is 30 µs shorter than through an executor's future."""
        error: OSError | None = None
        try:
            for descriptor in descriptors:
                os.fdatasync(descriptor)
        except OSError as failure:
            error = failure
        self._loop.call_soon_threadsafe(self._finish, error)

    def _finish(self, error: OSError | None) -> None:
        done, self._running = self._running, None
        assert done is not None
        if error is not None:
            self._fail(done, error)
            return
        swept, self._sweeping = self._sweeping, {}
        for file, mark in swept.items():
            file.synced(mark)
        done.set_result(None)
        self._start()

    def _fail(self, done: asyncio.Future[None], error: OSError) -> None:
        self._failure = InfrastructureError(
            f"the disk refused an fdatasync ({error}); check the disk, then start the broker again"
        )
        for waiting in (done, self._next):
            waiting.set_exception(self._failure)
            waiting.exception()  # there may be nobody waiting; that is no fault
        self._on_failure(self._failure)
