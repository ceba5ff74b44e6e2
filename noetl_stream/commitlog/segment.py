"""A segment: one file of a partition's log, named by the offset it begins at. Only the last one of a log grows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.batch import BatchHeader
from noetl_stream.commitlog.fsync import Mark
from noetl_stream.commitlog.index_file import Checkpoint, index_path
from noetl_stream.commitlog.isolation import AbortedTransaction
from noetl_stream.commitlog.sparse_index import GrowingIndex

_WEEK_MS = 7 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLimits:
    """When a segment is closed and the next one begun: at so many bytes, or so many milliseconds of log time.

    Kafka's 1 GiB would leave retention and compaction, which never touch the segment that grows, too coarse on one
    machine.
    """

    max_bytes: int = 128 << 20
    max_ms: int = _WEEK_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A closed segment: it never changes.

    `next_offset` is the base of the one behind it, also where a compacted file ends earlier. `size` is in bytes.
    `earliest` is the largest timestamp of its first batch, `latest` that of all, in milliseconds, -1 without records.
    `aborted` are the transactions whose abort marker stands in it.
    """

    path: Path
    base_offset: int
    next_offset: int
    size: int
    latest: int
    earliest: int = -1
    aborted: tuple[AbortedTransaction, ...] = ()


class ActiveSegment:
    """The segment that grows, with its index in memory."""

    def __init__(self, file: AppendFile, base_offset: int) -> None:
        self.file, self.base_offset, self.next_offset = file, base_offset, base_offset
        self.index = GrowingIndex()
        self.aborted: list[AbortedTransaction] = []
        self.earliest = -1

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def size(self) -> int:
        return self.file.size

    @property
    def latest(self) -> int:
        return self.index.latest

    def restore(self, known: Checkpoint) -> None:
        """Know what a checkpoint of this segment says."""
        self.next_offset = known.next_offset
        self.index = GrowingIndex.loaded(known.columns, known.latest)
        self.aborted = list(known.aborted)
        self.earliest = known.earliest

    def read(self, position: int, size: int) -> bytes:
        return self.file.read(position, size)

    def end(self) -> Mark:
        return Mark(self.size, self.next_offset)

    def is_full_for(self, header: BatchHeader, limits: SegmentLimits) -> bool:
        """Whether a batch belongs into the next segment. An empty segment takes any."""
        if self.size == 0:
            return False
        too_old = self.earliest >= 0 and header.max_timestamp - self.earliest > limits.max_ms
        return too_old or self.size + header.size > limits.max_bytes

    def note(self, header: BatchHeader, position: int) -> None:
        """A batch stands at `position` now."""
        if self.earliest < 0:
            self.earliest = header.max_timestamp
        self.index.add(header, position)
        self.next_offset = header.next_offset

    def closed(self, next_offset: int) -> Segment:
        """This segment as it stays."""
        return Segment(
            path=self.path,
            base_offset=self.base_offset,
            next_offset=next_offset,
            size=self.size,
            earliest=self.earliest,
            latest=self.latest,
            aborted=tuple(self.aborted),
        )

    def checkpoint(self, state: bytes) -> Checkpoint:
        """All that is known of it now; `state` is what its producers have done so far."""
        return Checkpoint(
            base_offset=self.base_offset,
            position=self.size,
            next_offset=self.next_offset,
            earliest=self.earliest,
            latest=self.latest,
            aborted=tuple(self.aborted),
            state=state,
            columns=self.index.dump(),
        )


def log_path(directory: Path, base_offset: int) -> Path:
    """Where the segment from `base_offset` on lies."""
    return directory / f"{base_offset:020}.log"


def log_paths(directory: Path) -> list[Path]:
    """The segments of a partition, in the order of the log."""
    return sorted(directory.glob("*.log"), key=base_offset_of)


def base_offset_of(path: Path) -> int:
    return int(path.stem)


def remove_files(paths: Iterable[Path]) -> None:
    """Delete segments' logs with their indexes, oldest first."""
    for path in paths:
        path.unlink(missing_ok=True)
        index_path(path).unlink(missing_ok=True)
