"""The journal: one file of checksummed lines that holds all metadata, synced with the same group commit as the logs.

It is rewritten with what still counts at start, and while the broker runs whenever it has grown to several times that.
During a rewrite every entry goes to the old file and to its successor in one sweep; once the successor has taken the name,
the sweep that makes an entry durable makes the name so too. So whichever of them a crash leaves in place has everything
that was acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from noetl_stream.broker.condense import condense
from noetl_stream.broker.entries import Entry
from noetl_stream.broker.journal_lines import journal_line, read_entries, salvage
from noetl_stream.commitlog.append_file import AppendFile, sync_directory
from noetl_stream.commitlog.fsync import GroupCommit, Mark
from noetl_stream.errors import InfrastructureError

logger = logging.getLogger(__name__)

_GROWTH = 4
_FRESH = ".new"
_ENTRIES_AT_A_TIME = 100


class Journal:
    """Appends entries durably and in order. It is rewritten beyond `rewrite_above` bytes, and four times what counts."""

    def __init__(self, path: Path, commit: GroupCommit, *, rewrite_above: int) -> None:
        self._path, self._commit, self._rewrite_above = path, commit, rewrite_above
        self._file = _JournalFile(path)
        self._successor: _JournalFile | None = None
        self._rewriting: asyncio.Task[None] | None = None
        self._rewrite_at = self._bound(self._file.size)

    async def write(self, entry: Entry) -> None:
        """Return when the entry is durable.

        Raises:
            OSError, InfrastructureError: the disk did not take it.
        """
        self.append(entry)
        # During a rewrite the successor became dirty in the same step, so the same sweep covers it. To wait for that
        # as well would let a later entry overtake this one in its writer's memory.
        await self._commit.durable(self._file)

    def append(self, entry: Entry) -> None:
        """Add an entry that need not be waited for.

        Raises:
            OSError: the disk took nothing of it.
        """
        line = journal_line(entry)
        self._file.append(line)
        self._commit.mark_dirty(self._file)
        if self._successor is not None:
            self._append_to_successor(self._successor, line)
        elif self._file.size > self._rewrite_at and self._rewriting is None:
            self._rewriting = asyncio.ensure_future(self._rewrite())

    def _append_to_successor(self, successor: _JournalFile, line: bytes) -> None:
        try:
            successor.append(line)
        except OSError:
            self._successor = None  # `_replace_by` sees it, and gives the rewrite up
        else:
            self._commit.mark_dirty(successor)

    async def settle(self) -> None:
        """Wait until no rewrite is under way."""
        if self._rewriting is not None:
            await self._rewriting

    def close(self) -> None:
        self._file.close()

    # Rewriting.

    async def _rewrite(self) -> None:
        """A rewrite that fails costs nothing but disk; it is tried again when the journal has grown further."""
        until = self._file.size
        try:
            await asyncio.to_thread(_write_condensed, self._path, until, self._path.with_suffix(_FRESH))
            fresh = _JournalFile(self._path.with_suffix(_FRESH))
            counted = fresh.size
            await self._replace_by(fresh, until)
        except (OSError, InfrastructureError) as error:
            logger.warning("%s could not be rewritten and goes on as it is: %s", self._path, error)
            counted = until
            with suppress(OSError):
                self._path.with_suffix(_FRESH).unlink(missing_ok=True)
        self._rewrite_at = self._bound(counted)
        self._rewriting = None

    async def _replace_by(self, fresh: _JournalFile, until: int) -> None:
        try:
            fresh.append(self._file.read_from(until))
            self._successor = fresh
            # Content before name: a rename that outlived its file's content would lose everything.
            await asyncio.to_thread(fresh.sync)
            self._require_successor()
            fresh.rename(self._path)
        except OSError:
            self._successor = None
            await self._retire(fresh)
            raise
        former, self._file, self._successor = self._file, fresh, None
        await self._retire(former)

    def _require_successor(self) -> None:
        if self._successor is None:
            raise OSError("it lacks an entry, which the disk did not take twice")

    async def _retire(self, file: _JournalFile) -> None:
        """Whoever waits for it is answered before it is closed."""
        await self._commit.on_disk(file)
        file.close()

    def _bound(self, size: int) -> int:
        return max(self._rewrite_above, _GROWTH * size)


class _JournalFile:
    """A file under group commit."""

    def __init__(self, path: Path) -> None:
        self._lines = AppendFile(path)

    @property
    def size(self) -> int:
        return self._lines.size

    def append(self, line: bytes) -> None:
        self._lines.append(line)

    def read_from(self, position: int) -> bytes:
        return self._lines.read(position, self.size - position)

    def sync(self) -> None:
        self._lines.sync()

    def rename(self, path: Path) -> None:
        self._lines.rename(path)

    def files(self) -> tuple[AppendFile, ...]:
        return (self._lines,)

    def visible(self, mark: Mark) -> None:
        """Who waits for an entry waits for the commit itself."""

    def end(self) -> Mark:
        return Mark(self.size, 0)

    def synced(self, mark: Mark) -> None:
        """Nobody reads the journal while the broker runs."""

    def close(self) -> None:
        self._lines.close()


def read_journal(path: Path) -> list[Entry]:
    """All entries; a torn last line is left out.

    Raises:
        InfrastructureError: a damaged line is followed by a sound one.
    """
    return list(read_entries(path, path.read_bytes() if path.exists() else b""))


def rewrite_journal(path: Path, entries: Iterable[Entry]) -> None:
    """Replace the journal by `entries`, at once and durably. On a full disk it goes on without a torn last line."""
    fresh = path.with_suffix(_FRESH)
    try:
        _write_durably(fresh, entries)
    except OSError as error:
        logger.warning("%s could not be rewritten and goes on as it is: %s", path, error)
        fresh.unlink(missing_ok=True)
        _cut_torn_line(path)
        return
    fresh.replace(path)
    sync_directory(path.parent)


def _cut_torn_line(path: Path) -> None:
    file = AppendFile(path)
    sound, _ = salvage(file.read(0, file.size))
    file.truncate(len(sound))
    file.close()


def _write_condensed(path: Path, until: int, fresh: Path) -> None:
    """In a thread, beside a loop that serves clients."""
    with path.open("rb") as file:
        content = file.read(until)
    _write_durably(fresh, _unhurried(condense(_unhurried(read_entries(path, content)))))


def _unhurried(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Let the other threads in after every few: else they wait for the interpreter, five milliseconds each time."""
    for number, entry in enumerate(entries):
        if number % _ENTRIES_AT_A_TIME == 0:
            time.sleep(0.0001)
        yield entry


def _write_durably(path: Path, entries: Iterable[Entry]) -> None:
    with path.open("wb") as file:
        file.writelines(map(journal_line, entries))
        file.flush()
        os.fsync(file.fileno())
