"""Writes checkpoints in a thread, each only once the records that it speaks of are on the disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from noetl_stream.commitlog.index_file import Checkpoint, write_checkpoint

logger = logging.getLogger(__name__)

Written = Callable[[list[Path]], None]


class CheckpointWriter:
    """One thread for all partitions, so that the ones of a partition are written in their order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def write(self, checkpoints: dict[Path, Checkpoint], written: Written) -> None:
        """Write them soon, then call `written` on the loop with the paths that the disk took."""
        self._under_way += 1
        self._idle.clear()
        self._thread.submit(self._write, checkpoints, written)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        await self._idle.wait()

    async def close(self) -> None:
        await self.idle()
        self._thread.shutdown()

    def _write(self, checkpoints: dict[Path, Checkpoint], written: Written) -> None:
        """In the thread. A full disk costs a longer start after a crash, and nothing else."""
        taken = []
        for path, known in checkpoints.items():
            try:
                write_checkpoint(path, known)
                taken.append(path)
            except OSError as error:
                logger.warning("%s could not be written (%s); the next checkpoint tries again", path, error)
        self._loop.call_soon_threadsafe(self._finish, written, taken)

    def _finish(self, written: Written, taken: list[Path]) -> None:
        written(taken)  # which may have more to write by now
        self._under_way -= 1
        if self._under_way == 0:
            self._idle.set()


class PendingCheckpoints:
    """One partition's: the newest of each segment, until it is written."""

    def __init__(self, writer: CheckpointWriter, on_written: Callable[[Path], None]) -> None:
        self._writer, self._on_written = writer, on_written
        self._pending: dict[Path, Checkpoint] = {}
        self._writing: dict[Path, Checkpoint] = {}
        self._refused = False
        self._synced = -1

    def has(self, path: Path) -> bool:
        """Whether a checkpoint at `path` waits to be written."""
        return path in self._pending

    def add(self, path: Path, known: Checkpoint) -> None:
        """Write this index file once the log is synced up to there."""
        self._pending.pop(path, None)  # it takes its place at the end
        self._pending[path] = known
        self._refused = False

    def try_again(self) -> None:
        """Write what the disk refused with the next sync, without waiting for another checkpoint."""
        self._refused = False

    def forget(self, path: Path) -> None:
        self._pending.pop(path, None)

    def synced(self, offset: int) -> None:
        """The log is on the disk up to `offset`."""
        self._synced = offset
        if self._writing or self._refused or not self._pending:
            return
        self._writing = {path: known for path, known in self._pending.items() if known.next_offset <= offset}
        if self._writing:
            self._writer.write(self._writing, self._written)

    def _written(self, taken: list[Path]) -> None:
        writing, self._writing = self._writing, {}
        self._refused = len(taken) < len(writing)
        for path in taken:
            if self._pending.get(path) is writing[path]:
                del self._pending[path]
                self._on_written(path)
        self.synced(self._synced)
