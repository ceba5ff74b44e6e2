"""Says what is wrong with a log that nobody writes to, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.index_file import Checkpoint, index_path, read_checkpoint, read_head
from noetl_stream.commitlog.scan import Damage, scan
from noetl_stream.commitlog.segment import base_offset_of, log_paths
from noetl_stream.commitlog.sparse_index import GrowingIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or was put right: its file, the byte at which it begins if it has one, a sentence."""

    path: Path
    position: int | None = None
    message: str

    def __str__(self) -> str:
        place = "" if self.position is None else f" at byte {self.position}"
        return f"{self.path}{place}: {self.message}"


def check_log(directory: Path) -> Iterator[Finding]:
    """Everything wrong with the log of one partition. An unfinished last write is not: the next start cuts it off.

    Raises:
        OSError: it cannot be read.
    """
    for swap in directory.glob("*.swap"):
        yield Finding(path=swap, message="a cleaning was cut short here; the next start finishes it")
        return
    logs = log_paths(directory)
    if not logs:
        yield Finding(path=directory, message="holds no log; restore it from a copy, or delete the topic")
    expected = base_offset_of(logs[0]) if logs else 0
    for log, behind in zip_longest(logs, logs[1:]):
        check = _SegmentCheck(log, None if behind is None else base_offset_of(behind), expected)
        yield from check.findings()
        expected = check.next_offset


class _SegmentCheck:
    def __init__(self, log: Path, bound: int | None, expected: int) -> None:
        self._log, self._bound = log, bound
        self._begins_early = base_offset_of(log) < expected
        self.next_offset = max(base_offset_of(log), expected)
        self._index = GrowingIndex()
        self._known = read_checkpoint(index_path(log))

    def findings(self) -> Iterator[Finding]:
        if self._begins_early:
            message = f"begins at offset {base_offset_of(self._log)}, before offset {self.next_offset} where it should"
            yield Finding(path=self._log, message=message)
        file = AppendFile.open_existing(self._log)
        try:
            yield from self._batches(file)
            yield from self._joint(file.size)
            yield from self._index_findings(file.size)
        finally:
            file.close()

    def _batches(self, file: AppendFile) -> Iterator[Finding]:
        for found in scan(file, self.next_offset, self._bound):
            if isinstance(found, Damage):
                if not self._is_unfinished_write(found, file.size):
                    yield Finding(path=self._log, position=found.position, message=_damage(found, file.size))
                continue
            self.next_offset = found.header.next_offset
            if self._known is not None and found.position < self._known.position:
                self._index.add(found.header, found.position)

    def _is_unfinished_write(self, found: Damage, size: int) -> bool:
        head = read_head(index_path(self._log))
        durable = head.position if head is not None else 0
        return self._bound is None and found.end == size and found.position >= durable

    def _joint(self, size: int) -> Iterator[Finding]:
        if self._bound is None or self.next_offset >= self._bound:
            return
        known = self._known
        if known is None or (known.position, known.next_offset) != (size, self._bound):
            message = f"ends at offset {self.next_offset}, and the next segment begins at {self._bound}"
            yield Finding(path=self._log, position=size, message=message)

    def _index_findings(self, size: int) -> Iterator[Finding]:
        path, known = index_path(self._log), self._known
        if known is None and path.exists():
            yield Finding(path=path, message="is damaged; it can be made again from its log")
        elif known is not None and known.position > size:
            message = f"is {known.position - size} bytes shorter than it was durably"
            yield Finding(path=self._log, position=size, message=message)
        elif known is not None and not self._agrees(known):
            yield Finding(path=path, message="does not fit its log; it can be made again from it")

    def _agrees(self, known: Checkpoint) -> bool:
        return known.base_offset == base_offset_of(self._log) and known.columns == self._index.dump()


def _damage(found: Damage, size: int) -> str:
    extent = "up to the end" if found.end == size else f"up to byte {found.end}"
    return f"is damaged {extent}, where offset {found.expected} should begin"
