"""The journal: one file of checksummed lines that holds all metadata, synced with the same group commit as the logs.

It is rewritten at start with what still counts, so it does not grow for ever.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from crc32c import crc32c

from noetl_stream.broker.entries import Entry, dump, load
from noetl_stream.commitlog.append_file import AppendFile, sync_directory
from noetl_stream.commitlog.fsync import GroupCommit, Mark
from noetl_stream.errors import InfrastructureError

_CHECKSUM_SIZE = 9  # with the space behind it
_BEGINNING = re.compile(rb"[0-9a-f]{8} \{")


class Journal:
    """Appends entries durably and in order."""

    def __init__(self, path: Path, commit: GroupCommit) -> None:
        self._file, self._commit = AppendFile(path), commit

    async def write(self, entry: Entry) -> None:
        """Return when the entry is durable.

        Raises:
            OSError, InfrastructureError: the disk did not take it.
        """
        self.append(entry)
        await self._commit.durable(self)

    def append(self, entry: Entry) -> None:
        """Add an entry that need not be waited for."""
        self._file.append(_line(entry))
        self._commit.mark_dirty(self)

    def files(self) -> tuple[AppendFile, ...]:
        return (self._file,)

    def visible(self, mark: Mark) -> None:
        """Who waits for an entry waits for the commit itself."""

    def end(self) -> Mark:
        return Mark(self._file.size, 0)

    def synced(self, mark: Mark) -> None:
        """Nobody reads the journal while the broker runs."""

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> list[Entry]:
    """All entries; a torn last line is left out.

    Raises:
        InfrastructureError: a damaged line is followed by a sound one.
    """
    content = path.read_bytes() if path.exists() else b""
    entries: list[Entry] = []
    position = 0
    for line in content.splitlines(keepends=True):
        if not _is_sound(line):
            _require_torn_tail(path, content, position)
            break
        entries.append(_parse(path, position, line))
        position += len(line)
    return entries


def rewrite_journal(path: Path, entries: Iterable[Entry]) -> None:
    """Replace the journal by `entries`, at once and durably."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.writelines(map(_line, entries))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def _line(entry: Entry) -> bytes:
    text = dump(entry)
    return b"%08x %s\n" % (crc32c(text), text)


def _is_sound(line: bytes) -> bool:
    text = line[_CHECKSUM_SIZE:-1]
    return line.endswith(b"\n") and line[:_CHECKSUM_SIZE] == b"%08x " % crc32c(text)


def _require_torn_tail(path: Path, content: bytes, damaged: int) -> None:
    """Look for a sound entry anywhere behind, since the damage may have hit the end of a line."""
    for begin in _BEGINNING.finditer(content, damaged + 1):
        if _is_sound(content[begin.start() : content.find(b"\n", begin.start()) + 1]):
            raise InfrastructureError(
                f"{path} is damaged at byte {damaged}, and sound entries follow; restore the file from a copy"
            )


def _parse(path: Path, position: int, line: bytes) -> Entry:
    try:
        return load(line[_CHECKSUM_SIZE:-1])
    except ValueError as error:
        raise InfrastructureError(
            f"{path} holds an entry at byte {position} that this version cannot read ({error}); "
            "start the version that wrote it, or a newer one"
        ) from error
