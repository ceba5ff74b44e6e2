"""One partition's log: what is readable when, and where things are found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from noetl_stream.commitlog.compression import MAX_DECOMPRESSED
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.record_codec import MalformedRecords
from noetl_stream.commitlog.recovery import open_partition
from tests.commitlog.keyed_log import keyed_batch
from tests.commitlog.samples import BASE_TIME, append, batch, disk_full_at, opened_storage, values


@pytest.fixture
async def partition(tmp_path: Path) -> AsyncIterator[Partition]:
    async with opened_storage() as storage:
        yield open_partition(tmp_path, storage)


def _read(partition: Partition, offset: int, *, committed_only: bool = False) -> list[tuple[int, bytes]]:
    return values(partition.read(offset, 1 << 20, committed_only=committed_only, whole_first=True))


async def test_readers_see_nothing_before_it_is_durable(partition: Partition) -> None:
    append(partition, batch(b"a"))
    assert (_read(partition, 0), partition.high_watermark, partition.end_offset) == ([], 0, 1)

    await partition.durable()

    assert (_read(partition, 0), partition.high_watermark) == ([(0, b"a")], 1)


async def test_who_waits_is_woken_by_the_sync(partition: Partition) -> None:
    seen = list[int]()
    partition.watch(lambda: seen.append(partition.high_watermark))

    append(partition, batch(b"a", b"b"))
    assert seen == []
    await partition.durable()

    assert seen == [2]


async def test_any_offset_is_found_among_many_batches(partition: Partition) -> None:
    """Small and large batches, so that offsets lie between the sparse index's entries."""
    for i in range(500):
        append(partition, batch(*[b"%d" % i] * (1 + i % 3)) if i % 7 else batch(b"x" * 9000))
    await partition.durable()

    for offset in range(partition.end_offset):
        chunk = partition.read(offset, 100, committed_only=False, whole_first=True)
        first, *_ = found = values(chunk)
        assert first[0] <= offset <= found[-1][0]


async def test_a_reader_with_a_small_buffer_still_gets_a_whole_batch(partition: Partition) -> None:
    append(partition, batch(b"x" * 10_000))
    await partition.durable()

    assert partition.read(0, 100, committed_only=False, whole_first=False) == b""
    assert len(values(partition.read(0, 100, committed_only=False, whole_first=True))) == 1


async def test_a_repeated_batch_answers_with_its_place(partition: Partition) -> None:
    sent = batch(b"a", producer_id=1, epoch=0, sequence=0)
    append(partition, batch(b"other"))

    assert [append(partition, sent) for _ in range(3)] == [1, 1, 1]
    assert partition.end_offset == 2


async def test_a_time_is_found_inside_its_batch(partition: Partition) -> None:
    for i in range(200):
        append(partition, batch(b"a", b"b", b"c", timestamp=BASE_TIME + 1000 * i))
    await partition.durable()

    def find(timestamp: int) -> tuple[int, int] | None:
        return partition.offset_for_time(timestamp, committed_only=False)

    assert find(BASE_TIME - 5) == (BASE_TIME, 0)
    assert find(BASE_TIME + 100_001) == (BASE_TIME + 100_001, 301)
    assert find(BASE_TIME + 100_003) == (BASE_TIME + 101_000, 303)
    assert find(BASE_TIME + 10**9) is None
    assert partition.latest_record() == (BASE_TIME + 199_002, 599)


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
async def test_no_time_is_looked_for_in_what_would_not_fit_into_memory(
    partition: Partition, codec: int
) -> None:
    append(partition, keyed_batch([(b"a", bytes(MAX_DECOMPRESSED))], codec=codec))
    await partition.durable()

    with pytest.raises(MalformedRecords, match="too large"):
        partition.offset_for_time(BASE_TIME, committed_only=False)


async def test_times_out_of_order_are_found_first_by_offset(partition: Partition) -> None:
    """Producers' clocks differ: the answer is the first offset whose time is late enough."""
    for seconds in (50, 10, 70, 20, 90):
        append(partition, batch(b"x" * 5000, timestamp=BASE_TIME + seconds * 1000))
    await partition.durable()

    assert partition.offset_for_time(BASE_TIME + 15_000, committed_only=False) == (BASE_TIME + 50_000, 0)
    assert partition.offset_for_time(BASE_TIME + 60_000, committed_only=False) == (BASE_TIME + 70_000, 2)


async def test_deleted_records_are_not_found_by_time(partition: Partition) -> None:
    append(partition, batch(b"a", b"b", b"c"))
    await partition.durable()

    partition.delete_before(2)

    assert partition.offset_for_time(BASE_TIME, committed_only=False) == (BASE_TIME + 2, 2)


async def test_an_open_transaction_holds_back_read_committed_alone(partition: Partition) -> None:
    append(partition, batch(b"before"))
    append(partition, batch(b"inside", producer_id=1, epoch=0, sequence=0, transactional=True))
    append(partition, batch(b"after"))
    await partition.durable()

    assert [value for _, value in _read(partition, 0)] == [b"before", b"inside", b"after"]
    assert _read(partition, 0, committed_only=True) == [(0, b"before")]
    assert (partition.last_stable_offset, partition.high_watermark) == (1, 3)


async def test_a_marker_is_dated_by_whoever_ends_the_transaction(partition: Partition) -> None:
    partition.end_transaction(producer_id=1, epoch=0, committed=True, now=BASE_TIME + 7)
    await partition.durable()

    assert partition.latest_record() == (BASE_TIME + 7, 0)


async def test_an_aborted_transaction_is_named_to_read_committed(partition: Partition) -> None:
    append(partition, batch(b"inside", producer_id=1, epoch=0, sequence=0, transactional=True))
    partition.end_transaction(producer_id=1, epoch=0, committed=False, now=BASE_TIME)
    partition.end_transaction(producer_id=1, epoch=0, committed=False, now=BASE_TIME)
    await partition.durable()

    assert [(gone.producer_id, gone.first_offset) for gone in partition.aborted_from(0)] == [(1, 0)]
    assert partition.last_stable_offset == partition.high_watermark == 3
    assert partition.aborted_from(2) == []


async def test_a_full_disk_takes_nothing_of_a_batch(partition: Partition) -> None:
    """Half of it was written and is taken back, so the next one stands where it should."""
    first = batch(b"first")
    append(partition, first)

    with disk_full_at(len(first) + 40), pytest.raises(OSError, match="File too large"):
        append(partition, batch(b"second", producer_id=1, epoch=0, sequence=0))
    assert append(partition, batch(b"second", producer_id=1, epoch=0, sequence=0)) == 1
    await partition.durable()

    assert _read(partition, 0) == [(0, b"first"), (1, b"second")]
