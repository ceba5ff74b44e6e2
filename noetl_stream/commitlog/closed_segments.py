"""The closed segments of a partition, found by offset and opened when they are read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from noetl_stream.commitlog.open_segments import OpenSegment, OpenSegments
from noetl_stream.commitlog.segment import Segment
from noetl_stream.commitlog.sparse_index import SparseIndex


class ClosedSegments:
    """In the order of the log. Each begins where the one before it ends."""

    def __init__(self, segments: Sequence[Segment], open_segments: OpenSegments) -> None:
        self._segments, self._open_segments = list(segments), open_segments
        self._bases = [segment.base_offset for segment in segments]
        self._indexes: dict[Path, SparseIndex] = {}  # those not in their files yet
        self.size = sum(segment.size for segment in segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def base_offset(self) -> int | None:
        """Where the first one begins, if there is one."""
        return self._bases[0] if self._bases else None

    @property
    def latest(self) -> int:
        """The largest timestamp, -1 without records."""
        return max((segment.latest for segment in self._segments), default=-1)

    def since(self, offset: int) -> list[Segment]:
        """From the one that holds `offset`."""
        if not self._segments or offset >= self._segments[-1].next_offset:
            return []
        return self._segments[max(0, bisect_right(self._bases, offset) - 1) :]

    def before(self, offset: int) -> list[Segment]:
        """Those that lie wholly before `offset`."""
        return [segment for segment in self._segments if segment.next_offset <= offset]

    def view(self, segment: Segment) -> OpenSegment:
        """Open it for reading, until the next one is asked for."""
        return self._open_segments.view(segment, self._indexes.get(segment.path))

    # Changes.

    def append(self, segment: Segment, index: SparseIndex) -> None:
        """The active segment was closed. Its index stays in memory until `index_written`."""
        self._indexes[segment.path] = index
        self._segments.append(segment)
        self._bases.append(segment.base_offset)
        self.size += segment.size

    def index_written(self, log: Path) -> None:
        """The index of the segment at `log` can be found in its file from now on."""
        if self._indexes.pop(log, None) is not None:
            self._open_segments.forget(log)

    def substitute(self, old: Sequence[Segment], new: Sequence[Segment], index: SparseIndex | None) -> None:
        """Put `new` (one or none) in the place of `old`, which follow one another here."""
        at = self._segments.index(old[0])
        for segment in old:
            self._indexes.pop(segment.path, None)
            self._open_segments.forget(segment.path)
        self._segments[at : at + len(old)] = new
        self._bases = [segment.base_offset for segment in self._segments]
        self.size = sum(segment.size for segment in self._segments)
        if index is not None:
            self._indexes[new[0].path] = index

    def holds(self, run: Sequence[Segment]) -> bool:
        """Whether these follow one another here, unchanged, with their indexes in their files."""
        if not run or run[0] not in self._segments or any(one.path in self._indexes for one in run):
            return False
        at = self._segments.index(run[0])
        return self._segments[at : at + len(run)] == list(run)

    def close(self) -> None:
        for segment in self._segments:
            self._open_segments.forget(segment.path)
