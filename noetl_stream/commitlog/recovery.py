"""Opening a partition's log after a stop of any kind: check every batch, cut a torn tail, refuse anything else.

A write that was under way when the process or the machine died leaves an unfinished batch at the very end; it was
never acknowledged and is cut off. Damage before a sound batch cannot come from that, so it is never repaired by
dropping what follows: start-up stops, naming the place.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.batch import HEADER_SIZE, intact, read_header
from noetl_stream.commitlog.fsync import GroupCommit
from noetl_stream.commitlog.log_reader import walk
from noetl_stream.commitlog.partition import Partition
from noetl_stream.errors import InfrastructureError

logger = logging.getLogger(__name__)

_WINDOW = 1 << 20
_MAGIC_AT = 16


def open_partition(
    path: Path, commit: GroupCommit, *, start_offset: int = 0, synced_position: int = 0
) -> Partition:
    """The partition kept in the file at `path`, which is created if it is not there.

    `synced_position` is the byte up to which it is known to have been durable.

    Raises:
        InfrastructureError: a batch is damaged that was durable, or that a sound one follows.
    """
    file = AppendFile(path)
    partition = Partition(file, commit)
    sound = _replay(file, partition)
    _require_durable(file, sound, synced_position, partition.end_offset)
    if sound < file.size:
        _cut_torn_tail(file, sound, partition.end_offset)
    # What a killed broker had not yet synced is about to be shown to readers.
    os.fdatasync(file.fileno())
    partition.delete_before(start_offset)
    partition.synced(partition.end())
    return partition


def _replay(file: AppendFile, partition: Partition) -> int:
    """Note every sound batch from the beginning; the position after the last one."""
    position = 0
    for found in walk(file, 0, file.size, window_size=_WINDOW, whole=True):
        in_sequence = found.header.base_offset == partition.end_offset
        if not (in_sequence and found.complete and intact(found.header, found.raw)):
            break
        partition.note(found.header, found.position, found.raw)
        position = found.position + found.header.size
    return position


def _require_durable(file: AppendFile, sound: int, synced_position: int, next_offset: int) -> None:
    if sound < synced_position:
        raise InfrastructureError(
            f"{file.path} is damaged at byte {sound} (offset {next_offset}), though it was durable up to byte "
            f"{synced_position}; restore the file from a copy"
        )


def _cut_torn_tail(file: AppendFile, position: int, next_offset: int) -> None:
    if (survivor := _sound_batch_after(file, position, next_offset)) is not None:
        raise InfrastructureError(
            f"{file.path} is damaged at byte {position} (offset {next_offset}), and a sound batch follows at byte "
            f"{survivor}; restore the file from a copy, or cut it to {position} bytes to give up what follows"
        )
    logger.warning(
        "%s: cut an unfinished write of %d bytes at byte %d", file.path, file.size - position, position
    )
    file.truncate(position)


def _sound_batch_after(file: AppendFile, damaged: int, next_offset: int) -> int | None:
    """The position of any sound batch behind the damage, whatever the damaged bytes claim about their length."""
    start = damaged + 1
    while start + HEADER_SIZE <= file.size:
        window = file.read(start, _WINDOW + HEADER_SIZE)
        for at in _candidates(window):
            if _is_sound(file, start + at, next_offset):
                return start + at
        start += _WINDOW
    return None


def _candidates(window: bytes) -> list[int]:
    """Where a header could begin, told by its magic byte and the high bytes of its offset."""
    found, at = [], window.find(b"\x02", _MAGIC_AT)
    while at >= 0:
        begin = at - _MAGIC_AT
        if begin + HEADER_SIZE <= len(window) and window[begin] == 0 and read_header(window, begin).plausible:
            found.append(begin)
        at = window.find(b"\x02", at + 1)
    return found


def _is_sound(file: AppendFile, position: int, next_offset: int) -> bool:
    header = read_header(file.read(position, HEADER_SIZE))
    if header.base_offset < next_offset or position + header.size > file.size:
        return False
    return intact(header, file.read(position, header.size))
