"""Makes a damaged log usable again: keeps what is sound, sets the rest aside in a file, says which offsets are lost.

Nothing is deleted and no offset is given out twice: what was durable and is lost leaves a gap. It can be broken off and
begun again at any point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from noetl_stream.commitlog.append_file import AppendFile, sync_directory, write_whole
from noetl_stream.commitlog.index_file import index_path, read_checkpoint, read_head, write_checkpoint
from noetl_stream.commitlog.inspection import Finding, check_log
from noetl_stream.commitlog.producer_state import ProducerState
from noetl_stream.commitlog.scan import Damage, SoundBatch, scan
from noetl_stream.commitlog.segment import ActiveSegment, base_offset_of, log_path, log_paths
from noetl_stream.commitlog.segment_swap import settle_swaps


def recover_log(directory: Path) -> list[Finding]:
    """Repair the log of one partition, if anything is wrong with it; what was done, and what cannot be.

    Raises:
        OSError: the disk does not take it; begin again once it does.
        InfrastructureError: what a cleaning under way replaces is not known.
    """
    settle_swaps(directory)
    wrong = list(check_log(directory))
    if not wrong or not log_paths(directory):
        return wrong
    _begin_behind(directory)
    logs = log_paths(directory)
    last = logs[-1]
    if read_checkpoint(index_path(last)) is None:
        index_path(last).unlink(missing_ok=True)
    state, done = ProducerState(), list[Finding]()
    expected = base_offset_of(logs[0])
    for log, behind in pairwise(logs):
        repair = _SegmentRepair(log, expected, base_offset_of(behind), state)
        done += repair.run()
        expected = base_offset_of(behind)
    return done


def _begin_behind(directory: Path) -> None:
    """Begin an empty segment behind everything that is there or was durable, so that no offset comes again."""
    last = log_paths(directory)[-1]
    file = AppendFile.open_existing(last)
    try:
        sound = (found for found in scan(file, base_offset_of(last), None) if isinstance(found, SoundBatch))
        end = max((found.header.next_offset for found in sound), default=base_offset_of(last))
    finally:
        file.close()
    head = read_head(index_path(last))
    log_path(directory, max(end, head.next_offset if head is not None else 0)).touch()
    sync_directory(directory)


class _SegmentRepair:
    """One segment, before another one that begins at `bound`."""

    def __init__(self, log: Path, expected: int, bound: int, state: ProducerState) -> None:
        self._log, self._bound, self._state = log, bound, state
        self._expected = max(base_offset_of(log), expected)

    def run(self) -> list[Finding]:
        """Rewrite the log if it is damaged, and its index if that does not fit."""
        file = AppendFile.open_existing(self._log)
        try:
            found = self._set_aside(file)
            if found:
                self._rewrite(file)
        finally:
            file.close()
        return [*found, *self._make_index()]

    def _scan(self, file: AppendFile) -> Iterator[SoundBatch | Damage]:
        return scan(file, self._expected, self._bound)

    def _set_aside(self, file: AppendFile) -> list[Finding]:
        """Copy every damaged stretch into a file of its own."""
        done = []
        for found, behind in pairwise((*self._scan(file), None)):
            if isinstance(found, Damage):
                aside = self._log.with_name(f"{self._log.stem}.{found.position}.damaged")
                write_whole(aside, file.read(found.position, found.end - found.position))
                following = behind.header.base_offset if isinstance(behind, SoundBatch) else self._bound
                lost = _lost(found.expected, following)
                message = f"the bytes up to {found.end} were set aside in {aside.name}; {lost}"
                done.append(Finding(path=self._log, position=found.position, message=message))
        return done

    def _rewrite(self, file: AppendFile) -> None:
        """The sound batches in the log's place, at once. The old index goes first: it speaks of other positions."""
        fresh = self._log.with_suffix(".log.new")
        fresh.unlink(missing_ok=True)
        kept = AppendFile(fresh)
        try:
            for found in self._scan(file):
                if isinstance(found, SoundBatch):
                    kept.append(found.raw)
            kept.sync()
        finally:
            kept.close()
        index_path(self._log).unlink(missing_ok=True)
        sync_directory(self._log.parent)
        fresh.replace(self._log)
        sync_directory(self._log.parent)

    def _make_index(self) -> Iterator[Finding]:
        file = AppendFile.open_existing(self._log)
        try:
            segment = ActiveSegment(file, base_offset_of(self._log))
            for found in self._scan(file):
                assert isinstance(found, SoundBatch)
                segment.note(found.header, found.position)
                self._state.note(found.header, found.position, found.raw, segment.aborted)
            file.sync()
        finally:
            file.close()
        known = replace(segment.checkpoint(self._state.dump()), next_offset=self._bound)
        path = index_path(self._log)
        if read_checkpoint(path) != known:
            write_checkpoint(path, known)
            yield Finding(path=path, message="was made again from its log")


def _lost(first: int, behind: int) -> str:
    if behind <= first:
        return f"what stood at offset {first} and behind it is lost"
    return f"offset {first} is lost" if behind == first + 1 else f"offsets {first} to {behind - 1} are lost"
