"""Compaction as a function: what it keeps, what it drops, and that no reader can tell but by the gaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noetl_stream.commitlog.compaction import AbortedRanges, note_keys
from noetl_stream.commitlog.key_offsets import KeyOffsets
from noetl_stream.commitlog.record_codec import delete_horizon
from tests.commitlog.keyed_log import (
    Change,
    KeyedLog,
    compacted,
    final_values,
    headers_of,
    read_committed,
)

LATER = 10**9


def test_the_newest_value_of_a_key_stays_at_its_offset() -> None:
    log = KeyedLog()
    log.write([(b"a", b"1"), (b"b", b"1")])
    log.write([(b"a", b"2")])

    kept, _ = compacted(log.batches, end=3)

    assert read_committed(kept) == [(1, b"b", b"1"), (2, b"a", b"2")]


def test_a_batch_in_which_nothing_changes_is_left_as_its_producer_wrote_it() -> None:
    log = KeyedLog()
    log.write([(b"a", b"1" * 100), (b"b", b"1" * 100)], codec=1)

    kept, _ = compacted(log.batches, end=2)

    assert kept == log.batches


def test_nothing_from_the_end_of_the_pass_on_is_changed() -> None:
    log = KeyedLog()
    log.write([(b"a", b"1"), (b"a", b"2")])
    log.write([(b"a", b"3"), (b"a", b"4")])

    kept, _ = compacted(log.batches, end=2)

    assert [offset for offset, _, _ in read_committed(kept)] == [1, 2, 3]


def test_a_record_without_a_key_does_not_survive() -> None:
    log = KeyedLog()
    log.write([(None, b"1"), (b"a", b"1")])

    kept, _ = compacted(log.batches, end=2)

    assert read_committed(kept) == [(1, b"a", b"1")]


def test_a_tombstone_is_kept_for_its_retention_after_it_was_first_cleaned() -> None:
    log = KeyedLog()
    log.write([(b"a", b"1"), (b"b", b"1")])
    log.write([(b"a", None)])
    log.write([(b"c", b"1")])

    first, end = compacted(log.batches, end=4, now=1000, retention=100)
    in_time, _ = compacted(first, since=end, end=4, now=1099)
    over, _ = compacted(first, since=end, end=4, now=1100)

    for within in (first, in_time):
        assert read_committed(within) == [(1, b"b", b"1"), (2, b"a", None), (3, b"c", b"1")]
    assert read_committed(over) == [(1, b"b", b"1"), (3, b"c", b"1")]


def test_a_tombstone_beyond_the_pass_has_no_horizon_yet() -> None:
    """Its batch reaches beyond what this pass has cleaned, so its retention has not begun."""
    log = KeyedLog()
    log.write([(b"a", None), (b"b", None)])

    kept, _ = compacted(log.batches, end=1)

    assert [delete_horizon(header) for header in headers_of(kept)] == [None]


def test_what_an_aborted_transaction_wrote_goes_and_takes_no_older_value_with_it() -> None:
    log = KeyedLog()
    log.write([(b"a", b"1")])
    log.write([(b"a", b"lost")], producer_id=1, transactional=True)
    log.end_transaction(1, committed=False)
    log.write([(b"b", b"1")])

    kept, _ = compacted(log.batches, end=log.end_offset)

    assert read_committed(kept) == [(0, b"a", b"1"), (3, b"b", b"1")]
    assert not any(header.record_count for header in headers_of(kept) if header.base_offset == 1)


def test_a_marker_outlives_its_transaction_by_the_retention() -> None:
    log = KeyedLog()
    log.write([(b"a", b"1")], producer_id=1, transactional=True)
    log.end_transaction(1, committed=True)
    log.write([(b"a", b"2")], producer_id=1)
    log.write([(b"z", b"1")])

    passes = [log.batches]
    for now in (1000, 2000, 2099, 2100):
        passes.append(compacted(passes[-1], end=log.end_offset, now=now, retention=100)[0])

    has_marker = [any(header.control for header in headers_of(kept)) for kept in passes]
    assert has_marker == [True, True, True, True, False]
    assert not any(header.base_offset == 0 for header in headers_of(passes[1]))


def test_the_last_sequence_of_a_producer_stays_when_its_records_do_not() -> None:
    log = KeyedLog()
    log.write([(b"a", b"1")], producer_id=7)
    log.write([(b"b", b"1"), (b"a", b"2")], producer_id=7)
    log.write([(b"a", b"3"), (b"b", b"3")])

    kept, _ = compacted(log.batches, end=log.end_offset)

    [of_producer] = [header for header in headers_of(kept) if header.producer_id == 7]
    assert (of_producer.last_sequence, of_producer.record_count) == (2, 0)


def test_a_reader_can_reach_the_end_of_a_pass_in_which_the_last_records_went() -> None:
    log = KeyedLog()
    log.write([(b"b", b"1")])
    log.write([(b"a", None)])
    first, _ = compacted(log.batches, end=2, now=0, retention=0)

    second, _ = compacted(first, end=2, now=1, retention=0)

    assert read_committed(second) == [(0, b"b", b"1")]
    assert headers_of(second)[-1].next_offset == 2


def test_keys_that_find_no_room_are_left_for_the_next_pass() -> None:
    log = KeyedLog()
    for value in (b"1", b"2"):
        log.write([(b"%d" % number, value) for number in range(10)])
    kept, end, passes = log.batches, 0, 0

    while end < log.end_offset:
        kept, end = compacted(kept, since=end, end=log.end_offset, keys=4)
        passes += 1

    assert read_committed(kept) == [(10 + number, b"%d" % number, b"2") for number in range(10)]
    assert passes > 2


def test_a_full_table_says_where_it_stopped() -> None:
    log = KeyedLog()
    log.write([(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"c", b"1")])
    newest = KeyOffsets(2)

    assert (
        note_keys(headers_of(log.batches)[0], log.batches[0], newest, since=0, aborted=AbortedRanges([])) == 3
    )
    assert (newest.newest(b"a"), newest.newest(b"b"), newest.newest(b"c")) == (2, 1, -1)


_change = st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.none() | st.sampled_from([b"1", b"2"]))
_step = st.tuples(
    st.sampled_from([-1, 1, 2]),
    st.lists(_change, min_size=1, max_size=4),
    st.sampled_from(["plain", "commit", "abort"]),
)


def _history(steps: list[tuple[int, list[Change], str]]) -> KeyedLog:
    """Transactions of two producers, interleaved with plain batches: each ends two steps after it wrote."""
    log, open_transactions = KeyedLog(), dict[int, bool]()
    for producer_id, changes, ending in steps:
        if producer_id in open_transactions:
            log.end_transaction(producer_id, committed=open_transactions.pop(producer_id))
        transactional = producer_id > 0 and ending != "plain"
        log.write(changes, producer_id=producer_id, transactional=transactional, codec=len(changes) % 2)
        if transactional:
            open_transactions[producer_id] = ending == "commit"
    for producer_id, committed in open_transactions.items():
        log.end_transaction(producer_id, committed=committed)
    return log


_pass = st.tuples(st.integers(1, 12), st.integers(0, 60), st.integers(1, 6))


@given(steps=st.lists(_step, min_size=1, max_size=12), passes=st.lists(_pass, min_size=1, max_size=6))
def test_every_reader_ends_with_the_same_values_as_without_compaction(
    steps: list[tuple[int, list[Change], str]], passes: list[tuple[int, int, int]]
) -> None:
    """Whatever was written, however far each pass goes, and however few keys it can hold."""
    log = _history(steps)
    kept, end, now, cleaned_at = log.batches, 0, 0, dict[int, int]()
    for further, wait, keys in passes:
        now += wait
        since = end
        kept, end = compacted(
            kept, since=since, end=min(end + further, log.end_offset), now=now, retention=30, keys=keys
        )
        cleaned_at.update(dict.fromkeys(range(since, end), now))
        for reader in range(log.end_offset):
            before, after = read_committed(log.batches, reader), read_committed(kept, reader)
            assert set(after) <= set(before)
            assert final_values(after) == final_values(before)
        _require_live_tombstones(log, kept, {at for at, then in cleaned_at.items() if then + 30 <= now})


def _require_live_tombstones(log: KeyedLog, kept: list[bytes], expired: set[int]) -> None:
    newest = {key: (offset, value) for offset, key, value in read_committed(log.batches)}
    shown = {offset for offset, _, _ in read_committed(kept)}
    for offset, value in newest.values():
        if value is None and offset not in expired:
            assert offset in shown


@given(steps=st.lists(_step, min_size=1, max_size=12))
def test_compacting_twice_is_compacting_once(steps: list[tuple[int, list[Change], str]]) -> None:
    log = _history(steps)
    once, _ = compacted(log.batches, end=log.end_offset, retention=LATER)

    twice, _ = compacted(once, end=log.end_offset, retention=LATER)
    thrice, _ = compacted(twice, end=log.end_offset, retention=LATER)

    assert read_committed(twice) == read_committed(once)
    assert thrice == twice
