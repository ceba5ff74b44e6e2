"""The journal shrinks while it is written to: nothing acknowledged is lost, wherever a crash comes."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from noetl_stream.broker import journal as journal_module
from noetl_stream.broker.entries import OffsetsCommitted
from noetl_stream.broker.journal import Journal, read_journal
from noetl_stream.commitlog import append_file
from noetl_stream.commitlog.fsync import FsyncPolicy, GroupCommit
from noetl_stream.errors import InfrastructureError

_SMALL = 2000


@asynccontextmanager
async def _journal(path: Path, policy: FsyncPolicy = "commit") -> AsyncIterator[Journal]:
    commit = GroupCommit(policy, lambda error: None)
    journal = Journal(path, commit, rewrite_above=_SMALL)
    yield journal
    await journal.settle()
    await commit.close()
    journal.close()


def _committed(partition: int, offset: int) -> OffsetsCommitted:
    return OffsetsCommitted(group="g", offsets=[("t", partition, offset, "")], at=1)


def _positions(path: Path) -> dict[int, int]:
    positions: dict[int, int] = {}
    for entry in read_journal(path):
        if isinstance(entry, OffsetsCommitted):
            positions |= {partition: offset for _, partition, offset, _ in entry.offsets}
    return positions


async def _commit_in_turn(journal: Journal, partition: int, upto: int) -> None:
    for offset in range(1, upto + 1):
        await journal.write(_committed(partition, offset))


@pytest.mark.parametrize("policy", ["commit", "interval", "none"])
async def test_a_journal_of_many_commits_stays_small(tmp_path: Path, policy: FsyncPolicy) -> None:
    path = tmp_path / "journal"
    async with _journal(path, policy) as journal:
        await asyncio.gather(*(_commit_in_turn(journal, partition, 300) for partition in range(4)))
        for offset in range(301, 401):
            await journal.write(_committed(0, offset))
            await journal.settle()
        assert path.stat().st_size < 3 * _SMALL

    assert _positions(path) == {0: 400, 1: 300, 2: 300, 3: 300}
    assert not (tmp_path / "journal.new").exists()


async def test_a_crash_at_any_moment_finds_all_that_was_acknowledged(tmp_path: Path) -> None:
    """The directory is copied after every acknowledgement, as a crash would leave it."""
    path, acknowledged = tmp_path / "live" / "journal", dict.fromkeys(range(3), 0)
    path.parent.mkdir()
    copies: list[tuple[Path, dict[int, int]]] = []

    async def commit(journal: Journal, partition: int) -> None:
        for offset in range(1, 61):
            await journal.write(_committed(partition, offset))
            acknowledged[partition] = offset
            copy = tmp_path / str(len(copies))
            shutil.copytree(path.parent, copy)
            copies.append((copy, dict(acknowledged)))

    async with _journal(path) as journal:
        await asyncio.gather(*(commit(journal, partition) for partition in acknowledged))

    assert any((copy / "journal.new").exists() for copy, _ in copies)
    for copy, expected in copies:
        found = _positions(copy / "journal")
        assert all(found.get(partition, 0) >= offset for partition, offset in expected.items())


@pytest.mark.parametrize("torn", [1, 30, 700])
async def test_a_successor_that_a_crash_left_unfinished_is_no_obstacle(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "journal"
    async with _journal(path) as journal:
        await _commit_in_turn(journal, 0, 3)
    (tmp_path / "journal.new").write_bytes(path.read_bytes()[:torn])

    async with _journal(path) as journal:
        await _commit_in_turn(journal, 0, 100)

    assert _positions(path) == {0: 100}


async def test_a_disk_that_has_no_room_for_a_successor_leaves_the_journal_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal"
    (tmp_path / "journal.new").symlink_to("/dev/full")
    async with _journal(path) as journal:
        await _commit_in_turn(journal, 0, 100)

    assert _positions(path) == {0: 100}
    assert "could not be rewritten and goes on as it is" in caplog.text


async def test_a_disk_that_fills_up_amid_a_rewrite_gives_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An entry that the successor does not take is in the journal all the same."""
    path = tmp_path / "journal"
    append, sync = journal_module._JournalFile.append, journal_module._JournalFile.sync
    refused = threading.Event()

    def append_but_once(file: journal_module._JournalFile, line: bytes) -> None:
        if file is journal._successor and not refused.is_set():
            refused.set()
            raise OSError(28, "No space left on device")
        append(file, line)

    def sync_after_that(file: journal_module._JournalFile) -> None:
        refused.wait(30)
        sync(file)

    async with _journal(path) as journal:
        monkeypatch.setattr(journal_module._JournalFile, "append", append_but_once)
        monkeypatch.setattr(journal_module._JournalFile, "sync", sync_after_that)
        await asyncio.gather(*(_commit_in_turn(journal, partition, 200) for partition in range(4)))

    assert refused.is_set()
    assert "could not be rewritten" in caplog.text
    assert _positions(path) == dict.fromkeys(range(4), 200)


async def test_nothing_is_acknowledged_before_the_successors_name_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power loss could bring the former journal back, which lacks what came after the rename."""
    path, failures, sync = tmp_path / "journal", list[InfrastructureError](), append_file.sync_directory
    commit = GroupCommit("commit", failures.append)
    journal = Journal(path, commit, rewrite_above=_SMALL)
    former = path.stat().st_ino

    def sync_until_renamed(folder: Path) -> None:
        if path.stat().st_ino != former:
            raise OSError(5, "Input/output error")
        sync(folder)

    monkeypatch.setattr(append_file, "sync_directory", sync_until_renamed)

    async def write_on() -> None:
        renamed = False
        for offset in range(1, 1000):
            await journal.write(_committed(0, offset))
            assert not renamed
            renamed = path.stat().st_ino != former

    with pytest.raises(InfrastructureError, match="check the disk"):
        await write_on()
    await journal.settle()

    assert path.stat().st_ino != former
    assert len(failures) == 1
    await commit.close()
    journal.close()


async def test_a_rewrite_that_is_given_up_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk it would hold the room that others need."""
    path = tmp_path / "journal"

    def refused(file: journal_module._JournalFile, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module._JournalFile, "rename", refused)
    async with _journal(path) as journal:
        await _commit_in_turn(journal, 0, 100)

    assert os.listdir(tmp_path) == ["journal"]
    assert _positions(path) == {0: 100}


async def test_writers_go_on_in_the_order_of_their_entries(tmp_path: Path) -> None:
    """Each then holds what it wrote; were one overtaken, memory would say other than the journal."""
    applied: list[int] = []

    async def commit(journal: Journal, offset: int) -> None:
        await journal.write(_committed(0, offset))
        applied.append(offset)

    async with _journal(tmp_path / "journal") as journal:
        writing = []
        for offset in range(1, 400):
            writing.append(asyncio.create_task(commit(journal, offset)))
            if offset % 7 == 0:
                await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*writing)

    assert applied == sorted(applied)


async def test_nobody_waits_longer_because_the_journal_is_rewritten(tmp_path: Path) -> None:
    """Entries are taken while the successor is written: a thread does that."""
    written_meanwhile: list[bool] = []
    path = tmp_path / "journal"
    async with _journal(path) as journal:
        for offset in range(1, 200):
            await journal.write(_committed(0, offset))
            written_meanwhile.append(journal._rewriting is not None)

    assert any(written_meanwhile)
