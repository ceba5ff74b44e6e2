"""A log in many segments reads as one, keeps few files open, and gives leading ones back."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from noetl_stream.commitlog.index_file import index_path, read_head
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.recovery import open_partition
from noetl_stream.commitlog.segment import SegmentLimits, log_path, remove_files
from noetl_stream.commitlog.storage import Storage
from tests.commitlog.samples import BASE_TIME, append, batch, opened_storage, values

_SMALL = SegmentLimits(max_bytes=1000)


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    async with opened_storage(kept_open=3) as storage:
        yield storage


@pytest.fixture
async def partition(tmp_path: Path, storage: Storage) -> AsyncIterator[Partition]:
    partition = open_partition(tmp_path, storage, limits=_SMALL)
    yield partition
    partition.close()


def _append(partition: Partition, *records: bytes, timestamp: int = BASE_TIME) -> int:
    return append(partition, batch(*records, timestamp=timestamp))


async def _fill(partition: Partition, count: int) -> None:
    """So many records, each a second after the one before."""
    for i in range(count):
        _append(partition, b"%d" % i * 20, timestamp=BASE_TIME + 1000 * i)
    await partition.durable()


def _read_all(partition: Partition, offset: int = 0) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while chunk := partition.read(offset, 1 << 20, committed_only=False, whole_first=True):
        found += values(chunk)
        offset = found[-1][0] + 1
    return found


async def test_many_segments_read_as_one_log(partition: Partition) -> None:
    await _fill(partition, 100)

    assert len(partition.segments) == 10
    assert _read_all(partition) == [(i, b"%d" % i * 20) for i in range(100)]
    for offset in range(100):
        assert _read_all(partition, offset)[0][0] == offset


async def test_segments_join_and_say_what_they_hold(partition: Partition) -> None:
    await _fill(partition, 50)

    expected = 0
    for segment in partition.segments:
        assert segment.base_offset == expected
        assert segment.size == segment.path.stat().st_size <= _SMALL.max_bytes
        assert segment.earliest == BASE_TIME + 1000 * segment.base_offset
        assert segment.latest == BASE_TIME + 1000 * (segment.next_offset - 1)
        expected = segment.next_offset
    assert partition.active.base_offset == expected
    assert partition.size == sum(path.stat().st_size for path in partition.active.path.parent.glob("*.log"))


async def test_a_time_is_found_in_whichever_segment_has_it(partition: Partition) -> None:
    await _fill(partition, 100)

    for i in range(100):
        found = partition.offset_for_time(BASE_TIME + 1000 * i - 999, committed_only=False)
        assert found == (BASE_TIME + 1000 * i, i)
    assert partition.latest_record() == (BASE_TIME + 99_000, 99)


async def test_a_segment_that_is_old_by_its_records_is_closed(tmp_path: Path, storage: Storage) -> None:
    partition = open_partition(tmp_path, storage, limits=SegmentLimits(max_ms=1500))

    await _fill(partition, 4)

    assert [segment.base_offset for segment in (*partition.segments, partition.active)] == [0, 2]
    assert partition.is_segment_due(BASE_TIME + 2000 + 1501)
    assert not partition.is_segment_due(BASE_TIME + 2000 + 1500)
    partition.close()


async def test_a_batch_larger_than_a_segment_has_one_of_its_own(partition: Partition) -> None:
    for record in (b"small", b"x" * 5000, b"small"):
        _append(partition, record)
    await partition.durable()

    assert [segment.next_offset for segment in partition.segments] == [1, 2]
    assert [len(value) for _, value in _read_all(partition)] == [5, 5000, 5]


async def test_few_files_are_open_however_many_segments_are_read(partition: Partition) -> None:
    await _fill(partition, 200)

    _read_all(partition)

    assert len(partition.segments) > 20
    assert _open_files(partition) <= 7  # three with their indexes, and the one that grows


def _open_files(partition: Partition) -> int:
    directory = str(partition.active.path.parent)
    return sum(os.path.realpath(at).startswith(directory) for at in Path("/proc/self/fd").iterdir())


async def test_each_closed_segment_has_a_complete_index_soon(partition: Partition, storage: Storage) -> None:
    await _fill(partition, 50)
    await storage.checkpoints.idle()

    for segment in partition.segments:
        head = read_head(index_path(segment.path))
        assert head is not None
        assert (head.position, head.next_offset) == (segment.size, segment.next_offset)


async def test_a_lost_or_damaged_index_costs_time_alone(partition: Partition, storage: Storage) -> None:
    await _fill(partition, 50)
    await storage.checkpoints.idle()
    first, second, *_ = partition.segments
    index_path(first.path).unlink()
    content = bytearray(index_path(second.path).read_bytes())
    content[-1] ^= 1
    index_path(second.path).write_bytes(content)

    assert len(_read_all(partition)) == 50


async def test_leading_segments_are_given_back_and_the_others_stay(partition: Partition) -> None:
    await _fill(partition, 60)
    await partition.checkpointed()
    kept = [segment for segment in partition.segments if segment.next_offset > 25]

    remove_files(partition.delete_before(25))

    assert partition.segments == tuple(kept)
    assert kept[0].base_offset <= 25 == partition.start_offset
    names = {path.stem for path in partition.active.path.parent.iterdir()}
    assert names == {segment.path.stem for segment in (*kept, partition.active)}
    assert [offset for offset, _ in _read_all(partition, 25)] == list(range(25, 60))


async def test_a_deletion_cut_short_is_finished_at_start(tmp_path: Path, storage: Storage) -> None:
    """The journal knew of the new start; some files were gone already, not the first."""
    partition = open_partition(tmp_path, storage, limits=_SMALL)
    await _fill(partition, 60)
    await partition.checkpointed()
    gone = partition.delete_before(40)
    assert len(gone) > 3
    gone[1].unlink()
    partition.close()

    after = open_partition(tmp_path, storage, limits=_SMALL, start_offset=40)

    assert [offset for offset, _ in _read_all(after, 40)] == list(range(40, 60))
    assert not gone[0].exists()
    assert not index_path(gone[1]).exists()
    after.close()


async def test_a_log_of_one_file_without_index_opens_unchanged(tmp_path: Path, storage: Storage) -> None:
    """As logs were before there were segments; from then on it is one."""
    plain = open_partition(tmp_path, storage)
    await _fill(plain, 50)
    plain.close()
    index_path(log_path(tmp_path, 0)).unlink(missing_ok=True)
    content = log_path(tmp_path, 0).read_bytes()

    partition = open_partition(tmp_path, storage, limits=_SMALL, synced_position=len(content))
    _append(partition, b"next")
    await partition.durable()

    assert log_path(tmp_path, 0).read_bytes() == content
    assert [segment.next_offset for segment in partition.segments] == [50]
    assert len(_read_all(partition)) == 51
    partition.close()


async def test_an_aborted_transaction_is_named_in_each_segment_that_it_reaches(partition: Partition) -> None:
    """Its records, its marker and its reader lie in different ones."""
    for sequence in range(20):
        sent = batch(b"x" * 200, producer_id=1, epoch=0, sequence=sequence, transactional=True)
        append(partition, sent)
    first_of_next = partition.active.base_offset
    partition.end_transaction(producer_id=1, epoch=0, committed=False, now=BASE_TIME)
    await _fill(partition, 30)

    assert first_of_next > 10
    for offset in (0, 5, first_of_next, 20):
        assert [gone.marker_offset for gone in partition.aborted_from(offset)] == [20]
    assert partition.aborted_from(21) == []
    assert partition.last_stable_offset == partition.high_watermark == 51
