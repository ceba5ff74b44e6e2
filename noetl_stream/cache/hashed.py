"""A file that is hashed while it is written: a thread hashes one piece while the next is on its way to the disk."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PIECE = 8 << 20
_sync = getattr(os, "fdatasync", os.fsync)  # not every system has the cheaper one


class HashedFile:
    """A new file for one writer, which must not change what it has handed over.

    Every few megabytes are synced, so that no backlog delays the log's own sync; the last are left to the system.
    """

    closed = False

    def __init__(self, path: Path) -> None:
        self.bytes = 0
        self._file, self._digest = path.open("wb"), sha256()
        self._piece: list[memoryview] = []
        self._size = 0
        self._hasher: ThreadPoolExecutor | None = None
        self._hashing: Future[None] | None = None

    def write(self, chunk: Any) -> int:
        view = memoryview(chunk).cast("B")
        for start in range(0, len(view), PIECE):
            self._put(view[start : start + PIECE])
        return len(view)

    def _put(self, view: memoryview) -> None:
        self._file.write(view)
        self._piece.append(view)
        self._size += len(view)
        self.bytes += len(view)
        if self._size >= PIECE:
            self._settle()

    def _settle(self) -> None:
        self._caught_up()
        if self._hasher is None:
            self._hasher = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._hashing = self._hasher.submit(self._update, self._piece)
        self._piece, self._size = [], 0
        self._file.flush()
        _sync(self._file.fileno())

    def _update(self, piece: list[memoryview]) -> None:
        for view in piece:
            self._digest.update(view)

    def _caught_up(self) -> None:
        if self._hashing is not None:
            self._hashing.result()

    def hexdigest(self) -> str:
        """The sha256 of all that was written."""
        self._caught_up()
        self._update(self._piece)
        self._piece = []
        return self._digest.hexdigest()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        if self._hasher is not None:
            self._hasher.shutdown()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
