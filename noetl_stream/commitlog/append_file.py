"""A file that only grows: the one place where bytes reach the disk's cache and are read back."""

from __future__ import annotations

import os
from pathlib import Path


class AppendFile:
    """An append-only file. After a failed append it is as long as before it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.size = os.fstat(self._descriptor).st_size

    def fileno(self) -> int:
        return self._descriptor

    def append(self, chunk: bytes | bytearray) -> int:
        """Write all of `chunk`; the position it begins at.

        Raises:
            OSError: the disk is full or broken; nothing of `chunk` was kept.
        """
        position = self.size
        try:
            written = os.write(self._descriptor, chunk)
            while written < len(chunk):
                written += os.write(self._descriptor, memoryview(chunk)[written:])
        except OSError:
            os.ftruncate(self._descriptor, position)
            raise
        self.size = position + written
        return position

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes at `position`; fewer at the end of the file."""
        return os.pread(self._descriptor, size, position)

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, durably."""
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)
        self.size = size

    def close(self) -> None:
        os.close(self._descriptor)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable; an fsync of a file does not do that."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
