"""Walks the batches of a log file without holding more of it than a window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from noetl_stream.commitlog.batch import HEADER_SIZE, BatchHeader, read_header


class Readable(Protocol):
    """A file, or what stands for one."""

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes at `position`; fewer at the end."""
        ...


class StoredBatch(NamedTuple):
    """A batch found at `position`. `window` holds the bytes read around it, the batch beginning at `at`."""

    position: int
    header: BatchHeader
    window: bytes
    at: int

    @property
    def complete(self) -> bool:
        """Whether the window holds all of the batch; else the file ended, or only headers were asked for."""
        return self.at + self.header.size <= len(self.window)

    @property
    def raw(self) -> memoryview:
        return memoryview(self.window)[self.at : self.at + self.header.size]


def overtakes(file: Readable, position: int, header: BatchHeader) -> bool:
    """Whether a batch at `position` takes offsets of the one behind it: no checksum covers its own, which is damaged then.

    What is no batch says nothing of the one before it.
    """
    raw = file.read(position + header.size, HEADER_SIZE)
    if len(raw) < HEADER_SIZE:
        return False
    behind = read_header(raw)
    return behind.plausible and behind.base_offset < header.next_offset


def walk(
    file: Readable, position: int, end: int, *, window_size: int = 8192, whole: bool = False
) -> Iterator[StoredBatch]:
    """The batches from `position` (a batch's beginning) while their headers are plausible and lie before `end`.

    With `whole` each batch is read entirely, where the file holds it. Stops silently at what is no header, at which
    the caller compares where it stopped with where it should have.
    """
    window, start = b"", position
    while position + HEADER_SIZE <= end:
        if position - start + HEADER_SIZE > len(window):
            window, start = file.read(position, window_size), position
        header = read_header(window, position - start)
        if not header.plausible:
            return
        held_by_file = position + header.size <= end
        if whole and held_by_file and position - start + header.size > len(window):
            window, start = file.read(position, max(window_size, header.size)), position
        yield StoredBatch(position, header, window, position - start)
        position += header.size
