"""Group commit: who waits for which sync."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.fsync import FsyncPolicy, GroupCommit, Mark
from noetl_stream.errors import InfrastructureError


class _Log:
    """A file that remembers what it was told is durable."""

    def __init__(self, path: Path) -> None:
        self.file = AppendFile(path)
        self.marks: list[Mark] = []
        self.seen: list[Mark] = []
        self.is_synced = asyncio.Event()

    def files(self) -> list[AppendFile]:
        return [self.file]

    def visible(self, mark: Mark) -> None:
        self.seen.append(mark)

    def end(self) -> Mark:
        return Mark(self.file.size, 0)

    def synced(self, mark: Mark) -> None:
        self.marks.append(mark)
        self.is_synced.set()


async def _write(log: _Log, commit: GroupCommit, chunk: bytes = b"x") -> None:
    log.file.append(chunk)
    commit.mark_dirty(log)
    await commit.durable(log)


def _commit(policy: FsyncPolicy = "commit") -> GroupCommit:
    return GroupCommit(policy, lambda error: None)


async def test_a_write_is_durable_only_once_a_sync_covers_it(tmp_path: Path) -> None:
    log, commit = _Log(tmp_path / "log"), _commit()

    log.file.append(b"abc")
    commit.mark_dirty(log)
    assert log.marks == []
    await commit.durable(log)

    assert log.marks == [Mark(3, 0)]
    await commit.close()


async def test_writes_that_wait_together_share_one_sync(tmp_path: Path) -> None:
    log, commit = _Log(tmp_path / "log"), _commit()

    await asyncio.gather(*(_write(log, commit) for _ in range(100)))

    assert log.marks == [Mark(100, 0)]
    await commit.close()


async def test_one_sweep_covers_every_dirty_file(tmp_path: Path) -> None:
    logs, commit = [_Log(tmp_path / str(i)) for i in range(4)], _commit()

    await asyncio.gather(*(_write(log, commit) for log in logs for _ in range(10)))

    assert [log.marks for log in logs] == [[Mark(10, 0)]] * 4
    await commit.close()


async def test_a_write_during_a_sweep_waits_for_the_next(tmp_path: Path) -> None:
    """The sweep under way may have begun before its bytes were there."""
    log, commit = _Log(tmp_path / "log"), _commit()
    first = asyncio.create_task(_write(log, commit, b"first"))
    await asyncio.sleep(0)  # the write
    await asyncio.sleep(0)  # the sweep has begun

    await _write(log, commit, b"second")

    assert first.done()
    assert log.marks == [Mark(5, 0), Mark(11, 0)]
    await commit.close()


async def test_who_asks_during_a_sweep_waits_for_its_end(tmp_path: Path) -> None:
    """As a repeated batch does, whose first copy is just being synced."""
    log, commit = _Log(tmp_path / "log"), _commit()
    log.file.append(b"first")
    commit.mark_dirty(log)
    await asyncio.sleep(0)  # the sweep has begun

    await commit.durable(log)

    assert log.marks == [Mark(5, 0)]
    await commit.close()


async def test_waiting_for_a_clean_file_takes_no_sync(tmp_path: Path) -> None:
    log, commit = _Log(tmp_path / "log"), _commit()

    await commit.durable(log)

    assert log.marks == []
    await commit.close()


async def test_without_fsync_a_write_counts_at_once(tmp_path: Path) -> None:
    log, commit = _Log(tmp_path / "log"), _commit("none")

    log.file.append(b"abc")
    commit.mark_dirty(log)
    await commit.durable(log)

    assert (log.seen, log.marks) == ([Mark(3, 0)], [])
    await commit.close()


async def test_without_fsync_what_rests_on_a_log_still_has_it_synced(tmp_path: Path) -> None:
    """A checkpoint says what is on the disk, whatever the policy."""
    log, commit = _Log(tmp_path / "log"), _commit("none")
    log.file.append(b"abc")
    commit.mark_dirty(log)

    await commit.on_disk(log)

    assert log.marks == [Mark(3, 0)]
    await commit.close()


async def test_at_intervals_a_write_counts_at_once_and_one_sweep_takes_all(tmp_path: Path) -> None:
    log, commit = _Log(tmp_path / "log"), GroupCommit("interval", lambda error: None, interval=0.02)
    for end in (1, 2, 3):
        log.file.append(b"x")
        commit.mark_dirty(log)
        await commit.durable(log)
        assert (log.seen[-1], log.marks) == (Mark(end, 0), [])

    await log.is_synced.wait()

    assert log.marks == [Mark(3, 0)]
    await commit.close()


async def test_at_intervals_what_was_shown_is_never_taken_back(tmp_path: Path) -> None:
    """A sweep ends with less than was appended while it was under way."""
    log, commit = _Log(tmp_path / "log"), _commit("interval")
    log.file.append(b"first")
    commit.mark_dirty(log)
    commit.sync_soon(log)
    await asyncio.sleep(0)  # the sweep has begun
    log.file.append(b"second")
    commit.mark_dirty(log)

    await commit.close()

    assert log.marks == [Mark(5, 0), Mark(11, 0)]
    assert log.seen == sorted(log.seen)


async def test_a_failed_sync_is_final(tmp_path: Path) -> None:
    """Nothing is acknowledged after it, and the broker is told once."""
    log, told = _Log(tmp_path / "log"), list[InfrastructureError]()
    commit = GroupCommit("commit", told.append)
    reader, writer = os.pipe()
    os.dup2(writer, log.file.fileno())  # a pipe cannot be synced

    for _ in range(2):
        commit.mark_dirty(log)
        with pytest.raises(InfrastructureError, match="check the disk"):
            await commit.durable(log)

    assert len(told) == 1
    assert log.marks == []
    await commit.close()
    for descriptor in (reader, writer):
        os.close(descriptor)


async def test_closing_syncs_what_nobody_waits_for(tmp_path: Path) -> None:
    log, commit = _Log(tmp_path / "log"), _commit()
    log.file.append(b"abc")
    commit.mark_dirty(log)

    await commit.close()

    assert log.marks == [Mark(3, 0)]
