"""After any stop: every acknowledged batch is there, a torn tail is cut, other damage is named."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noetl_stream.commitlog.batch import stamp
from noetl_stream.commitlog.inspection import check_log
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.recovery import open_partition
from noetl_stream.commitlog.refusal import Refused
from noetl_stream.commitlog.segment import log_path
from noetl_stream.errors import InfrastructureError
from tests.commitlog.samples import BASE_TIME, append, batch, opened_storage, values

_SIZES = st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=12)


def _log(sizes: list[int]) -> list[bytes]:
    """Batches of so many records, as they stand in a file."""
    offset, batches = 0, []
    for number, count in enumerate(sizes):
        sent = batch(*[b"%d" % number * 10] * count, producer_id=1, epoch=0, sequence=offset)
        batches.append(bytes(stamp(sent, offset)))
        offset += count
    return batches


def _recover(content: bytes, *, synced_position: int = 0) -> tuple[int, bytes]:
    """(end offset, all readable bytes) after recovery of a file with this content."""

    async def recover(directory: Path) -> tuple[int, bytes]:
        async with opened_storage() as storage:
            partition = open_partition(directory, storage, synced_position=synced_position)
            chunk = partition.read(0, 1 << 24, committed_only=False, whole_first=True)
            partition.close()
            return partition.end_offset, chunk

    with tempfile.TemporaryDirectory() as directory:
        log_path(Path(directory), 0).write_bytes(content)
        return asyncio.run(recover(Path(directory)))


@given(sizes=_SIZES, cut=st.integers(min_value=0, max_value=10**6))
@settings(max_examples=60, deadline=None)
def test_any_cut_keeps_every_whole_batch_and_nothing_else(sizes: list[int], cut: int) -> None:
    batches = _log(sizes)
    content = b"".join(batches)[: cut % (sum(map(len, batches)) + 1)]
    whole = [kept for i, kept in enumerate(batches) if sum(map(len, batches[: i + 1])) <= len(content)]

    end_offset, chunk = _recover(content)

    assert chunk == b"".join(whole)
    assert end_offset == sum(sizes[: len(whole)])


@given(sizes=_SIZES, torn=st.binary(max_size=3000))
@settings(max_examples=60, deadline=None)
def test_any_garbage_at_the_end_is_cut(sizes: list[int], torn: bytes) -> None:
    content = b"".join(_log(sizes))

    _, chunk = _recover(content + torn)

    assert chunk == content


@given(sizes=_SIZES.filter(lambda sizes: len(sizes) > 1), at=st.integers(min_value=0, max_value=10**6))
@settings(max_examples=100, deadline=None)
def test_damage_before_a_sound_batch_is_named(sizes: list[int], at: int) -> None:
    """Whatever byte of whatever batch but the last is hit, even its length: nothing behind it is dropped."""
    *earlier, last = _log(sizes)
    content = bytearray(b"".join(earlier))
    place = at % len(content)
    if _is_leader_epoch(earlier, place):  # the only bytes that nothing checks, for they are always zero
        return
    content[place] ^= 0x41
    damaged = next(
        sum(map(len, earlier[:i])) for i in range(len(earlier)) if place < sum(map(len, earlier[: i + 1]))
    )

    with pytest.raises(
        InfrastructureError,
        match=rf"0\.log is damaged at byte {damaged} .*a sound batch follows.*broker recover",
    ):
        _recover(bytes(content) + last)


def _is_leader_epoch(batches: list[bytes], place: int) -> bool:
    for stored in batches:
        if place < len(stored):
            return 12 <= place < 16
        place -= len(stored)
    raise AssertionError("the place lies behind the batches")


def test_damage_to_the_last_batch_is_named_if_it_was_durable() -> None:
    content = bytearray(b"".join(_log([3, 3])))
    content[-1] ^= 1

    with pytest.raises(InfrastructureError, match="though it was durable up to byte"):
        _recover(bytes(content), synced_position=len(content))


def test_a_log_shorter_than_what_was_durable_is_named() -> None:
    content = b"".join(_log([3, 3]))

    with pytest.raises(InfrastructureError, match="restore it from a copy"):
        _recover(content[:-1], synced_position=len(content))


def test_damage_is_found_across_the_windows_of_a_large_file() -> None:
    """The sound batch lies further away than recovery reads at once."""
    damaged = bytearray(stamp(batch(b"\x02" * 3_000_000), 0))
    damaged[100] ^= 1
    content = bytes(damaged) + bytes(stamp(batch(b"last"), 1))

    with pytest.raises(InfrastructureError, match="damaged at byte 0"):
        _recover(content)


def test_batches_larger_than_the_window_are_recovered() -> None:
    content = bytes(stamp(batch(b"x" * 3_000_000), 0)) + bytes(stamp(batch(b"y"), 1))

    end_offset, chunk = _recover(content)

    assert (end_offset, chunk) == (2, content)


def _segments(directory: Path, offsets: list[int], next_base: int) -> None:
    """A closed segment with batches of one record at these offsets, and an empty one behind it; no indexes."""
    stored = (bytes(stamp(batch(b"%d" % offset), offset)) for offset in offsets)
    log_path(directory, 0).write_bytes(b"".join(stored))
    log_path(directory, next_base).touch()


async def test_gaps_are_compaction_where_there_is_compaction_and_damage_elsewhere(tmp_path: Path) -> None:
    _segments(tmp_path, [0, 5, 9], next_base=12)

    async with opened_storage() as storage:
        with pytest.raises(InfrastructureError, match=r"0\.log is damaged at byte \d+ \(offset 1\)"):
            open_partition(tmp_path, storage)
        partition = open_partition(tmp_path, storage, compacted=True)
        found = values(partition.read(1, 1 << 20, committed_only=False, whole_first=True))
        assert (found, partition.end_offset) == ([(5, b"5"), (9, b"9")], 12)
        partition.close()


async def test_a_damaged_offset_in_a_compacted_log_buries_nothing(tmp_path: Path) -> None:
    """No checksum covers it; were it believed, all that follows would look like an unfinished write."""
    _segments(tmp_path, [0, 5 + (1 << 30), 9], next_base=12)

    async with opened_storage() as storage:
        with pytest.raises(InfrastructureError, match=r"\(offset 1\), and a sound batch follows"):
            open_partition(tmp_path, storage, compacted=True)


async def test_a_power_loss_that_kept_only_the_name_of_the_next_segment_is_no_damage(tmp_path: Path) -> None:
    """What was to come before it was never acknowledged; its offsets are left out."""
    _segments(tmp_path, [0, 1], next_base=7)

    async with opened_storage() as storage:
        partition = open_partition(tmp_path, storage)
        assert append(partition, batch(b"next")) == 7
        await partition.durable()
        assert values(partition.read(2, 1 << 20, committed_only=False, whole_first=True)) == [(7, b"next")]
        partition.close()


async def test_a_start_reads_only_what_follows_the_checkpoint(tmp_path: Path) -> None:
    """Shown by damage before it, which only a check finds."""
    async with opened_storage() as storage:
        before = open_partition(tmp_path, storage)
        for number in range(50):
            append(before, batch(b"%d" % number, producer_id=1, epoch=0, sequence=number))
        before.checkpoint()
        await before.checkpointed()
        append(before, batch(b"50", producer_id=1, epoch=0, sequence=50))
        await before.durable()
        before.close()
    content = bytearray(log_path(tmp_path, 0).read_bytes())
    content[65] ^= 1
    log_path(tmp_path, 0).write_bytes(content)

    async with opened_storage() as storage:
        after = open_partition(tmp_path, storage)
        assert after.end_offset == 51
        assert append(after, batch(b"50", producer_id=1, epoch=0, sequence=50)) == 50
        after.close()
    assert next(check_log(tmp_path)).position == 0


async def test_an_unfinished_write_says_nothing_of_the_batch_before_it(tmp_path: Path) -> None:
    """Behind a gap that batch would else look as if its offset were damaged, and be cut off with it."""
    _segments(tmp_path, [0, 5], next_base=12)
    with log_path(tmp_path, 0).open("ab") as log:
        log.write(bytes(100))

    async with opened_storage() as storage:
        partition = open_partition(tmp_path, storage, compacted=True)
        found = values(partition.read(0, 1 << 20, committed_only=False, whole_first=True))
        partition.close()
    assert found == [(0, b"0"), (5, b"5")]


async def test_producers_and_transactions_are_remembered(tmp_path: Path) -> None:
    """After recovery a repeated batch is a duplicate, an older epoch is fenced, an open transaction still open."""
    first = batch(b"a", producer_id=1, epoch=1, sequence=0)
    async with opened_storage() as storage:
        before = open_partition(tmp_path, storage)
        append(before, first)
        append(before, batch(b"aborted", producer_id=2, epoch=0, sequence=0, transactional=True))
        before.end_transaction(producer_id=2, epoch=0, committed=False, now=BASE_TIME)
        append(before, batch(b"open", producer_id=3, epoch=0, sequence=0, transactional=True))
        await before.durable()
        before.close()

    async with opened_storage() as storage:
        after = open_partition(tmp_path, storage)
        _assert_all_is_known(after, first)
        after.close()


def _assert_all_is_known(after: Partition, first: bytes) -> None:
    assert append(after, first) == 0
    with pytest.raises(Refused):
        append(after, batch(b"old", producer_id=1, epoch=0, sequence=1))
    assert [(gone.producer_id, gone.first_offset) for gone in after.aborted_from(0)] == [(2, 1)]
    assert after.last_stable_offset == 3
    assert values(after.read(3, 1 << 20, committed_only=False, whole_first=True)) == [(3, b"open")]
