"""The part of compaction that touches files, in a background thread: reads closed segments, writes cleaned ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from noetl_stream.commitlog.batch import BatchHeader, Octets, intact
from noetl_stream.commitlog.compaction import AbortedRanges, Compaction, note_keys
from noetl_stream.commitlog.key_offsets import KeyOffsets
from noetl_stream.commitlog.log_reader import walk
from noetl_stream.commitlog.pace import Pace
from noetl_stream.commitlog.record_codec import MalformedRecords
from noetl_stream.commitlog.segment import Segment

_WINDOW = 256 << 10
_SYNC_EVERY = 1 << 20


class Uncleanable(Exception):
    """A segment cannot be compacted: its bytes are damaged, or its records malformed. The message names the place."""


def newest_offsets(
    segments: Sequence[Segment], *, since: int, keys: int, aborted: AbortedRanges, pace: Pace
) -> tuple[KeyOffsets, int]:
    """The newest offset of each key from `since` on, and the offset up to which the table had room.

    Raises:
        Uncleanable: a batch is damaged.
        FileNotFoundError: a segment was deleted meanwhile.
        Stopped: the broker ends.
    """
    end = segments[-1].next_offset
    newest = KeyOffsets(min(keys, max(1, end - since)))
    for segment in segments:
        if segment.next_offset <= since:
            continue
        for header, raw in batches_of(segment, pace):
            with _placed(segment, header):
                full_at = note_keys(header, raw, newest, since=since, aborted=aborted)
            if full_at is not None:
                return newest, full_at
    return newest, end


def rewrite(group: Sequence[Segment], compaction: Compaction, cleaned: Path, pace: Pace) -> bool:
    """Write what stays of a group of segments to `cleaned`; False, without that file, if it is all of one segment.

    Raises:
        Uncleanable, FileNotFoundError, Stopped: as `newest_offsets`.
        OSError: the disk is full or broken.
    """
    changed = False
    try:
        changed = _rewrite(group, compaction, cleaned, pace) or len(group) > 1
    finally:
        if not changed:
            cleaned.unlink(missing_ok=True)
    return changed


def _rewrite(group: Sequence[Segment], compaction: Compaction, cleaned: Path, pace: Pace) -> bool:
    changed = False
    with cleaned.open("wb") as file:
        output = _Output(file)
        for segment in group:
            for header, raw in batches_of(segment, pace):
                with _placed(segment, header):
                    kept = compaction.clean(header, raw)
                changed |= kept is not raw
                if kept is not None:
                    output.write(kept)
    return changed


def batches_of(segment: Segment, pace: Pace) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Every batch, its CRC checked: rewritten under a new one, damage would never be found again."""
    position = 0
    with segment.path.open("rb") as file:
        for found in walk(_Source(file), 0, segment.size, window_size=_WINDOW, whole=True):
            if not (found.complete and intact(found.header, found.raw)):
                break
            yield found.header, found.raw
            position = found.position + found.header.size
            pace.breathe()
    if position != segment.size:
        raise Uncleanable(f"{segment.path} is damaged at byte {position}")


@contextmanager
def _placed(segment: Segment, header: BatchHeader) -> Iterator[None]:
    """Says where malformed records stand."""
    try:
        yield
    except MalformedRecords as error:
        raise Uncleanable(f"{segment.path}, offset {header.base_offset}: {error}") from error


class _Source:
    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()

    def read(self, position: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, position)


class _Output:
    """Flushed every MiB: one large flush would hold up the broker's own fdatasync on the same disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._unsynced = file, 0

    def write(self, batch: Octets) -> None:
        self._file.write(batch)
        self._unsynced += len(batch)
        if self._unsynced >= _SYNC_EVERY:
            self._file.flush()
            os.fdatasync(self._file.fileno())
            self._unsynced = 0
