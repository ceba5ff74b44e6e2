"""Tells an unfinished write from damage: whether anything sound follows the place where a log stops making sense."""

from __future__ import annotations

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.batch import HEADER_SIZE, intact, read_header

NEXT_STEP = (
    "restore it from a copy, or see `noetl-stream broker check` and `noetl-stream broker recover`, which "
    "keeps what is sound and says what is lost"
)

_WINDOW = 1 << 20
_MAGIC_AT = 16


def sound_batch_after(file: AppendFile, start: int, next_offset: int) -> int | None:
    """The position of the first sound batch at `start` or later, of `next_offset` or later, or None.

    What the bytes before it claim about their length does not matter.
    """
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
