"""The lines of a journal: a checksum, an entry as JSON. A torn last line is no damage; any other damage stops the start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from crc32c import crc32c

from noetl_stream.broker.entries import Entry, dump, load
from noetl_stream.errors import InfrastructureError

_CHECKSUM_SIZE = 9  # with the space behind it
_BEGINNING = re.compile(rb"[0-9a-f]{8} \{")


def journal_line(entry: Entry) -> bytes:
    text = dump(entry)
    return b"%08x %s\n" % (crc32c(text), text)


def read_entries(path: Path, content: bytes) -> Iterator[Entry]:
    """The entries in `content`, which was read from the beginning of the journal at `path`; a torn last one is left out.

    Raises:
        InfrastructureError: a damaged line is followed by a sound one, or a line is of a later version.
    """
    position = 0
    for line in content.splitlines(keepends=True):
        if not _is_sound(line):
            _require_torn_tail(path, content, position)
            return
        yield _parse(path, position, line)
        position += len(line)


def salvage(content: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The sound lines of a journal, and each stretch between them that is not, with its position."""
    kept, damaged, position = bytearray(), list[tuple[int, bytes]](), 0
    while position < len(content):
        end = content.find(b"\n", position) + 1 or len(content)
        line = content[position:end]
        if _is_sound(line):
            kept += line
        else:
            end = _next_sound(content, position + 1)
            damaged.append((position, content[position:end]))
        position = end
    return bytes(kept), damaged


def _next_sound(content: bytes, start: int) -> int:
    """Where the first sound line at `start` or later begins, else the end; damage may have hit the end of a line."""
    for begin in _BEGINNING.finditer(content, start):
        if _is_sound(content[begin.start() : content.find(b"\n", begin.start()) + 1]):
            return begin.start()
    return len(content)


def _is_sound(line: bytes) -> bool:
    text = line[_CHECKSUM_SIZE:-1]
    return line.endswith(b"\n") and line[:_CHECKSUM_SIZE] == b"%08x " % crc32c(text)


def _require_torn_tail(path: Path, content: bytes, damaged: int) -> None:
    if _next_sound(content, damaged + 1) < len(content):
        raise InfrastructureError(
            f"{path} is damaged at byte {damaged}, and sound entries follow; restore the file from a copy, or see "
            "`noetl-stream broker check` and `noetl-stream broker recover`"
        )


def _parse(path: Path, position: int, line: bytes) -> Entry:
    try:
        return load(line[_CHECKSUM_SIZE:-1])
    except ValueError as error:
        raise InfrastructureError(
            f"{path} holds an entry at byte {position} that this version cannot read ({error}); "
            "start the version that wrote it, or a newer one"
        ) from error
