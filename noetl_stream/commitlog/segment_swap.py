"""Puts one cleaned segment in the place of several, so that a crash at any point leaves the old ones or the new one.

Written are `<base>.cleaned`, then `<base>.swap-index`; the rename of `.cleaned` to `.swap` decides. What is left to do
then (removing the old ones, moving index and log to their names) is done again at start if a crash came in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from noetl_stream.commitlog.append_file import AppendFile, sync_directory
from noetl_stream.commitlog.index_file import (
    Checkpoint,
    index_path,
    read_head,
    read_state,
    write_checkpoint,
)
from noetl_stream.commitlog.log_reader import walk
from noetl_stream.commitlog.segment import ActiveSegment, Segment, base_offset_of, log_paths, remove_files
from noetl_stream.errors import InfrastructureError


def cleaned_path(old: Sequence[Segment]) -> Path:
    """Where the cleaned form of these segments is written."""
    return old[0].path.with_suffix(".cleaned")


def prepare_swap(
    old: Sequence[Segment], cleaned: Path, breathe: Callable[[], None]
) -> tuple[Segment, ActiveSegment]:
    """Make the cleaned file durable and decide for it: the segment that replaces `old`, still named `.swap`.

    Raises:
        OSError: the disk did not take it; nothing is decided.
        InfrastructureError: the file is no log within the bounds of `old`, or the index of the last one is damaged.
    """
    file = AppendFile(cleaned)
    try:
        content = _read_through(file, old, breathe)
        file.sync()
    finally:
        file.close()
    index, swap = cleaned.with_suffix(".swap-index"), cleaned.with_suffix(".swap")
    write_checkpoint(index, _complete(content, old))
    cleaned.rename(swap)
    sync_directory(swap.parent)
    return replace(content.closed(old[-1].next_offset), path=swap), content


def clear_replaced(old: Sequence[Segment], swap: Segment) -> None:
    """Remove the old segments but the first, and give the new one's index its name, durably."""
    remove_files(segment.path for segment in old[1:])
    swap.path.with_suffix(".swap-index").replace(index_path(swap.path))
    sync_directory(swap.path.parent)


def finish_swap(swap: Segment) -> Segment:
    """The last step, which takes microseconds: the new segment under its own name."""
    return replace(swap, path=swap.path.replace(swap.path.with_suffix(".log")))


def settle_swaps(directory: Path) -> None:
    """At start: finish what was decided, remove what was not."""
    for swap in directory.glob("*.swap"):
        _settle(swap)
    for leftover in (*directory.glob("*.cleaned"), *directory.glob("*.swap-index"), *directory.glob("*.new")):
        leftover.unlink()


def _settle(swap: Path) -> None:
    index = swap.with_suffix(".swap-index")
    head = read_head(index) or read_head(index_path(swap))
    if head is None:
        raise InfrastructureError(
            f"{swap} has lost its index, so what it replaces is not known; restore the directory from a copy"
        )
    base = base_offset_of(swap)
    remove_files(log for log in log_paths(swap.parent) if base < base_offset_of(log) < head.next_offset)
    if index.exists():
        index.replace(index_path(swap))
    sync_directory(swap.parent)
    swap.replace(swap.with_suffix(".log"))


def _read_through(file: AppendFile, old: Sequence[Segment], breathe: Callable[[], None]) -> ActiveSegment:
    content = ActiveSegment(file, old[0].base_offset)
    markers = set()
    position = 0
    for found in walk(file, 0, file.size, window_size=1 << 20):
        if found.header.base_offset < content.next_offset:
            break
        content.note(found.header, found.position)
        if found.header.control:
            markers.add(found.header.base_offset)
        position = found.position + found.header.size
        breathe()
    if position != file.size or content.next_offset > old[-1].next_offset:
        raise InfrastructureError(
            f"{file.path} is no log at byte {position} (offset {content.next_offset}); the old segments stay in use"
        )
    content.aborted = [gone for one in old for gone in one.aborted if gone.marker_offset in markers]
    return content


def _complete(content: ActiveSegment, old: Sequence[Segment]) -> Checkpoint:
    last = index_path(old[-1].path)
    state = read_state(last)
    if state is None:
        raise InfrastructureError(f"{last} is damaged; the old segments stay in use")
    return replace(content.checkpoint(state), next_offset=old[-1].next_offset)
