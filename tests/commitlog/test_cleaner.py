"""Compacting a log on disk: what readers, producers and a restart find afterwards, and what happens when it fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from noetl_stream.commitlog.cleaner import Cleaned, Cleaner, Overtaken
from noetl_stream.commitlog.compaction_plan import CompactionRules, plan_compaction
from noetl_stream.commitlog.index_file import index_path
from noetl_stream.commitlog.pace import Stopped
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.recovery import open_partition
from noetl_stream.commitlog.refusal import Refused
from noetl_stream.commitlog.rewriting import Uncleanable
from noetl_stream.commitlog.segment import SegmentLimits, log_path, remove_files
from noetl_stream.commitlog.storage import Storage
from tests.commitlog.keyed_log import Change, final_values, keyed_batch, read
from tests.commitlog.samples import BASE_TIME, append, disk_full_at, opened_storage

SMALL = SegmentLimits(max_bytes=400)
ALWAYS = CompactionRules(min_dirty_ratio=0, segment_bytes=2000)


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    async with opened_storage() as storage:
        yield storage


@pytest.fixture
async def partition(tmp_path: Path, storage: Storage) -> AsyncIterator[Partition]:
    partition = open_partition(tmp_path, storage, limits=SMALL)
    yield partition
    await partition.release()


@pytest.fixture
def cleaner() -> Iterator[Cleaner]:
    cleaner = Cleaner(keys=1000)
    yield cleaner
    cleaner.close()


async def write(
    partition: Partition,
    *changes: Change,
    producer_id: int = -1,
    sequence: int = -1,
    transactional: bool = False,
) -> int:
    """One batch, durable; its base offset."""
    batch = keyed_batch(changes, producer_id=producer_id, sequence=sequence, transactional=transactional)
    offset = append(partition, batch)
    await partition.durable()
    return offset


async def overwrite(partition: Partition, rounds: int = 20) -> None:
    """Three keys, over and over, in a dozen small segments."""
    for number in range(rounds):
        await write(partition, *((key, b"%d" % number) for key in (b"a", b"b", b"c")))


async def compact(
    cleaner: Cleaner,
    partition: Partition,
    *,
    since: int = 0,
    now: int = BASE_TIME,
    rules: CompactionRules = ALWAYS,
) -> Cleaned:
    plan = plan_compaction(
        partition.segments,
        rules,
        since=since,
        stable_offset=partition.last_stable_offset,
        horizon=None,
        now=now,
    )
    assert plan is not None
    return await cleaner.compact(partition, plan, rules, now)


def files(directory: Path, pattern: str) -> list[Path]:
    return sorted(directory.glob(pattern))


def remove_all(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()


async def test_readers_from_any_offset_find_the_newest_values_before_and_after_a_restart(
    tmp_path: Path, storage: Storage, cleaner: Cleaner
) -> None:
    partition = open_partition(tmp_path, storage, limits=SMALL)
    await overwrite(partition)
    before = [final_values(read(partition, since)) for since in range(partition.end_offset)]

    cleaned = await compact(cleaner, partition)

    assert cleaned.removed_records > 40
    assert cleaned.removed_bytes > 1000
    assert len(partition.segments) < 4
    assert [final_values(read(partition, since)) for since in range(partition.end_offset)] == before
    await partition.release()
    again = open_partition(tmp_path, storage, limits=SMALL)
    assert [final_values(read(again, since)) for since in range(again.end_offset)] == before
    await again.release()


async def test_a_second_pass_takes_up_where_the_first_one_ended(
    partition: Partition, cleaner: Cleaner
) -> None:
    await overwrite(partition)
    first = await compact(cleaner, partition)
    await overwrite(partition)

    second = await compact(cleaner, partition, since=first.end)

    assert second.end > first.end
    assert len(read(partition)) < 20
    assert final_values(read(partition)) == {b"a": b"19", b"b": b"19", b"c": b"19"}


async def test_what_is_written_during_a_pass_is_kept(partition: Partition, cleaner: Cleaner) -> None:
    await overwrite(partition)

    running = asyncio.create_task(compact(cleaner, partition))
    written = 0
    while not running.done():
        await write(partition, (b"new", b"%d" % written))
        written += 1
    await running

    assert written > 0
    assert [value for _, key, value in read(partition) if key == b"new"] == [
        b"%d" % number for number in range(written)
    ]


async def test_a_segment_that_was_full_at_a_restart_is_compacted_too(
    tmp_path: Path, storage: Storage, cleaner: Cleaner
) -> None:
    """Nothing is appended to it afterwards, so its index was written before it was closed."""
    partition = open_partition(tmp_path, storage, limits=SMALL)
    await overwrite(partition, 4)
    await partition.release()

    again = open_partition(tmp_path, storage, limits=SegmentLimits(max_bytes=1))
    await overwrite(again, 4)
    await compact(cleaner, again)

    assert final_values(read(again)) == {b"a": b"3", b"b": b"3", b"c": b"3"}
    assert len(read(again)) < 10
    await again.release()


async def test_a_producer_whose_records_are_gone_goes_on_in_its_sequence(
    tmp_path: Path, storage: Storage, cleaner: Cleaner
) -> None:
    partition = open_partition(tmp_path, storage, limits=SMALL)
    await write(partition, (b"a", b"of the producer"), producer_id=7, sequence=0)
    await overwrite(partition)
    await compact(cleaner, partition)
    assert b"of the producer" not in [value for _, _, value in read(partition)]
    await partition.release()
    # The gaps of a compacted segment are explained by its index alone.
    remove_all(path for path in files(tmp_path, "*.index") if path.stem != f"{0:020}")

    again = open_partition(tmp_path, storage, limits=SMALL)

    assert await write(again, (b"a", b"of the producer"), producer_id=7, sequence=0) == 0
    with pytest.raises(Refused, match="sequence 5 came where 1 was expected"):
        await write(again, (b"a", b"x"), producer_id=7, sequence=5)
    await write(again, (b"a", b"x"), producer_id=7, sequence=1)
    await again.release()


async def test_an_aborted_transaction_is_named_only_as_long_as_its_marker_stands(
    partition: Partition, cleaner: Cleaner
) -> None:
    """Else the records of its producer's next transaction would be taken for aborted ones."""
    await write(partition, (b"a", b"lost"), producer_id=1, sequence=0, transactional=True)
    partition.end_transaction(producer_id=1, epoch=0, committed=False, now=BASE_TIME)
    await write(partition, (b"z", b"1"), producer_id=1, sequence=1, transactional=True)
    partition.end_transaction(producer_id=1, epoch=0, committed=True, now=BASE_TIME)
    await overwrite(partition)
    now, retention = BASE_TIME, ALWAYS.delete_retention_ms

    for later in (now, now + 1, now + 2 + retention):
        await compact(cleaner, partition, now=later)

    assert partition.aborted == ()
    assert read(partition)[0] == (2, b"z", b"1")


async def test_a_lost_index_makes_no_committed_transaction_an_aborted_one(
    tmp_path: Path, storage: Storage, cleaner: Cleaner
) -> None:
    """Its marker has a horizon, and is all that is left of it; the producer's state before it still knows it as open."""
    limits = SegmentLimits(max_bytes=100)
    partition = open_partition(tmp_path, storage, limits=limits, compacted=True)
    for sequence, value in enumerate((b"1", b"2")):
        await write(partition, (b"a", value), producer_id=1, sequence=sequence, transactional=True)
        partition.end_transaction(producer_id=1, epoch=0, committed=True, now=BASE_TIME)
    await overwrite(partition)
    for now in (BASE_TIME, BASE_TIME + 1):
        await compact(cleaner, partition, now=now, rules=replace(ALWAYS, segment_bytes=1))
    await partition.release()
    index_path(log_path(tmp_path, 1)).unlink()

    again = open_partition(tmp_path, storage, limits=limits, compacted=True)

    assert again.aborted == ()
    await again.release()


async def test_an_open_transaction_holds_compaction_back(partition: Partition, cleaner: Cleaner) -> None:
    await overwrite(partition)
    opened = await write(partition, (b"a", b"open"), producer_id=1, sequence=0, transactional=True)
    await overwrite(partition)

    cleaned = await compact(cleaner, partition)

    assert cleaned.end <= opened


async def test_records_deleted_during_a_pass_stay_deleted(partition: Partition, cleaner: Cleaner) -> None:
    await overwrite(partition, 40)
    middle = partition.end_offset // 2

    running = asyncio.create_task(compact(cleaner, partition))
    await asyncio.sleep(0)
    remove_files(partition.delete_before(middle))

    with pytest.raises(Overtaken):
        await running
    assert min(offset for offset, _, _ in read(partition, middle)) >= middle
    assert final_values(read(partition, middle)) == {b"a": b"39", b"b": b"39", b"c": b"39"}
    await compact(cleaner, partition)
    assert final_values(read(partition, middle)) == {b"a": b"39", b"b": b"39", b"c": b"39"}


async def test_a_pass_that_is_stopped_leaves_no_trace(
    partition: Partition, cleaner: Cleaner, tmp_path: Path
) -> None:
    await overwrite(partition)
    before = read(partition)

    running = asyncio.create_task(compact(cleaner, partition))
    await asyncio.sleep(0)
    cleaner.stop()

    with pytest.raises(Stopped):
        await running
    assert (read(partition), files(tmp_path, "*.cleaned")) == (before, [])


async def test_damage_is_named_and_not_signed_anew(partition: Partition, cleaner: Cleaner) -> None:
    await overwrite(partition)
    victim = partition.segments[1]
    content = bytearray(victim.path.read_bytes())
    content[-1] ^= 1
    victim.path.write_bytes(content)

    with pytest.raises(Uncleanable, match=rf"{victim.path.name} is damaged at byte"):
        await compact(cleaner, partition)
    assert victim.path.read_bytes() == content


async def test_a_full_disk_leaves_the_log_as_it_was(
    partition: Partition, cleaner: Cleaner, tmp_path: Path
) -> None:
    await overwrite(partition)
    # A segment whose index is yet to be written would be left for a later pass.
    await partition.checkpointed()
    before = read(partition)

    with disk_full_at(100), pytest.raises(OSError, match="File too large"):
        await compact(cleaner, partition)
    assert (read(partition), files(tmp_path, "*.cleaned")) == (before, [])


@pytest.mark.slow
def test_a_crash_at_any_point_of_a_compaction_leaves_a_log_that_reads_as_before(tmp_path: Path) -> None:
    """Every rename, removal and opened file of three passes is tried, each in processes of its own."""
    command = [sys.executable, "-m", "tests.commitlog.crashes", str(tmp_path)]

    run = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)

    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 50
