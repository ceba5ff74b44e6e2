"""A file that only grows: the one place where bytes reach the disk's cache and are read back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self


class AppendFile:
    """An append-only file, created if it is not there. After a failed append it is as long as before it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.size = os.fstat(self._descriptor).st_size
        self._torn = False
        self._durable_name: Path | None = None

    @classmethod
    def open_existing(cls, path: Path) -> Self:
        """A file that must be there.

        Raises:
            FileNotFoundError: it is not.
        """
        path.stat()
        return cls(path)

    def fileno(self) -> int:
        return self._descriptor

    def append(self, chunk: bytes | bytearray) -> int:
        """Write all of `chunk`; the position it begins at.

        Raises:
            OSError: the disk is full or broken; nothing of `chunk` was kept.
        """
        if self._torn:
            self._take_back()
        position = self.size
        try:
            written = os.write(self._descriptor, chunk)
            while written < len(chunk):
                written += os.write(self._descriptor, memoryview(chunk)[written:])
        except OSError:
            self._torn = True
            self._take_back()
            raise
        self.size = position + written
        return position

    def _take_back(self) -> None:
        os.ftruncate(self._descriptor, self.size)
        self._torn = False

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes at `position`; fewer at the end of the file."""
        return os.pread(self._descriptor, size, position)

    def sync(self) -> None:
        """Make all bytes so far durable, and the file's name with them. May be called in a thread.

        Raises:
            OSError: the disk failed; the bytes may be lost.
        """
        name = self.path
        os.fdatasync(self._descriptor)
        if self._durable_name != name:
            sync_directory(name.parent)
            self._durable_name = name

    def rename(self, path: Path) -> None:
        """Take the place of what is at `path`, in the same folder; the next `sync` makes that durable.

        Raises:
            OSError: it keeps its name.
        """
        self.path.replace(path)
        self.path = path

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


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put `content` at `path`, durably, whole or not at all: a crash before the end leaves it or what was there before.

    Raises:
        OSError: the disk did not take it; what was at `path` still is, unless the folder alone could not be synced.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # one that a crash left may have another mode
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
