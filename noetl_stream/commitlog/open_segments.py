"""Closed segments are opened when they are read, and only so many stay open: files and memory do not grow with the log."""

from __future__ import annotations

import logging
import mmap
import os
from collections import OrderedDict
from pathlib import Path

from noetl_stream.commitlog.index_file import IndexHead, index_path, read_columns, read_head
from noetl_stream.commitlog.log_reader import walk
from noetl_stream.commitlog.segment import Segment
from noetl_stream.commitlog.sparse_index import COLUMNS, ENTRY_SIZE, GrowingIndex, SparseIndex

logger = logging.getLogger(__name__)


class OpenSegment:
    """A closed segment's file and index, open for reading."""

    def __init__(self, segment: Segment, index: SparseIndex | None) -> None:
        self._descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        self._mapped = _map_index(segment) if index is None else None
        self.size = segment.size
        known = self._mapped if index is None else index
        self.index = self._read_through(segment) if known is None else known

    def read(self, position: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, position)

    def close(self) -> None:
        if self._mapped is not None:
            self._mapped.close()
        os.close(self._descriptor)

    def _read_through(self, segment: Segment) -> SparseIndex:
        index = GrowingIndex()
        if segment.size > 0:
            logger.warning("%s is damaged; reading the segment in its place", index_path(segment.path))
        for found in walk(self, 0, segment.size, window_size=1 << 20):
            index.add(found.header, found.position)
        return index


class OpenSegments:
    """The segments read last, of all partitions."""

    def __init__(self, kept_open: int) -> None:
        self._kept_open = kept_open
        self._open: OrderedDict[Path, OpenSegment] = OrderedDict()

    def view(self, segment: Segment, index: SparseIndex | None) -> OpenSegment:
        """The segment, opened if it is not; `index` if that is still in memory. Use it before asking for another.

        Raises:
            OSError: it cannot be opened.
        """
        view = self._open.get(segment.path)
        if view is None:
            view = self._open[segment.path] = OpenSegment(segment, index)
            if len(self._open) > self._kept_open:
                self._open.popitem(last=False)[1].close()
        else:
            self._open.move_to_end(segment.path)
        return view

    def forget(self, path: Path) -> None:
        """Close the segment at `path` if it is open: it is gone, or another one."""
        view = self._open.pop(path, None)
        if view is not None:
            view.close()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


class _MappedIndex(SparseIndex):
    def __init__(self, path: Path, head: IndexHead) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        size = head.columns_size // COLUMNS
        whole = memoryview(self._map)
        starts = range(head.columns_at, head.columns_at + head.columns_size, size)
        self._views = [whole[start : start + size].cast("q") for start in starts]
        whole.release()
        super().__init__(*self._views)

    def close(self) -> None:
        for view in self._views:
            view.release()
        self._map.close()


def _map_index(segment: Segment) -> _MappedIndex | None:
    """The index in its file, or None if that is damaged. It is checked by reading it, which maps none of its pages."""
    path = index_path(segment.path)
    head = read_head(path)
    if head is None or head.position != segment.size or head.columns_size < ENTRY_SIZE:
        return None
    return _MappedIndex(path, head) if read_columns(path, head) is not None else None
