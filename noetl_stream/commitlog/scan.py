"""Reads a whole segment, however damaged: its sound batches, and the stretches between them that are not.

Offsets need only increase, as in a compacted log. No checksum covers a batch's offset, so one that leaps ahead of the
batch behind it is taken for the damaged one of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.batch import HEADER_SIZE, BatchHeader, intact, read_header
from noetl_stream.commitlog.damage import sound_batch_after
from noetl_stream.commitlog.log_reader import overtakes


class SoundBatch(NamedTuple):
    """A batch that stands at `position` and is what was written."""

    position: int
    header: BatchHeader
    raw: bytes


class Damage(NamedTuple):
    """The bytes from `position` to `end`, where offset `expected` and what follows it should stand."""

    position: int
    end: int
    expected: int


def scan(file: AppendFile, expected: int, bound: int | None) -> Iterator[SoundBatch | Damage]:
    """All of a segment that begins at offset `expected`; `bound` is the base of the next one, if there is one."""
    position = 0
    while position < file.size:
        found = _sound_at(file, position, expected, bound)
        if found is not None:
            yield found
            position += found.header.size
            expected = found.header.next_offset
        else:
            end = _next_sound(file, position + 1, expected, bound)
            yield Damage(position, end, expected)
            position = end


def _sound_at(file: AppendFile, position: int, expected: int, bound: int | None) -> SoundBatch | None:
    header = _header_at(file, position)
    if header is None or header.base_offset < expected or (bound is not None and header.next_offset > bound):
        return None
    raw = file.read(position, header.size)
    if len(raw) < header.size or not intact(header, raw):
        return None
    if header.base_offset > expected and overtakes(file, position, header):
        return None
    return SoundBatch(position, header, raw)


def _header_at(file: AppendFile, position: int) -> BatchHeader | None:
    raw = file.read(position, HEADER_SIZE)
    if len(raw) < HEADER_SIZE:
        return None
    header = read_header(raw)
    return header if header.plausible else None


def _next_sound(file: AppendFile, start: int, expected: int, bound: int | None) -> int:
    while (at := sound_batch_after(file, start, expected)) is not None:
        if _sound_at(file, at, expected, bound) is not None:
            return at
        start = at + 1
    return file.size
