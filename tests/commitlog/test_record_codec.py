"""Records taken out of a batch and put back: whatever the codec, what stays is what the producer wrote."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from noetl_stream.commitlog.batch import HEADER_SIZE, intact, read_header, stamp, transaction_marker
from noetl_stream.commitlog.compression import MAX_DECOMPRESSED
from noetl_stream.commitlog.record_codec import (
    MalformedRecords,
    delete_horizon,
    marker_commits,
    read_records,
    rebuild,
)
from tests.commitlog.keyed_log import Change, Headers, keyed_batch
from tests.commitlog.samples import BASE_TIME

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADERS: Headers = [("trace", b"\x00\xff"), ("empty", b""), ("null", None)]

_octets = st.none() | st.binary(max_size=200)
_changes = st.lists(st.tuples(_octets, _octets), min_size=1, max_size=20)


def _decoded(batch: bytes) -> list[tuple[int, int, bytes | None, bytes | None, object]]:
    assert intact(read_header(batch), batch)
    return [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in DefaultRecordBatch(bytearray(batch))]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
@given(changes=_changes, kept=st.sets(st.integers(0, 19)))
def test_the_records_that_stay_are_those_that_a_client_would_have_read(
    codec: int, changes: list[Change], kept: set[int]
) -> None:
    batch = bytes(stamp(keyed_batch(changes, codec=codec, headers=HEADERS), 500))
    header = read_header(batch)
    staying = [record for record in read_records(header, batch) if record.offset_delta in kept]

    rebuilt = rebuild(header, staying)

    assert _decoded(rebuilt) == [row for row in _decoded(batch) if row[0] - 500 in kept]
    assert read_header(rebuilt).next_offset == header.next_offset
    assert read_header(rebuilt).size == len(rebuilt)


@given(changes=_changes, horizon=st.integers(0, 2 * BASE_TIME))
def test_a_horizon_changes_no_timestamp(changes: list[Change], horizon: int) -> None:
    batch = keyed_batch(changes, headers=HEADERS)
    header = read_header(batch)

    rebuilt = rebuild(header, read_records(header, batch), horizon=horizon)

    assert _decoded(rebuilt) == _decoded(batch)
    assert (delete_horizon(header), delete_horizon(read_header(rebuilt))) == (None, horizon)


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("wait", [0, 100, 10_000, 86_400_000, 30 * 86_400_000])
def test_a_marker_says_the_same_with_a_horizon(committed: bool, wait: int) -> None:
    """The timestamp that is counted from the horizon takes more bytes."""
    marker = transaction_marker(producer_id=1, epoch=0, committed=committed, timestamp=BASE_TIME)
    header = read_header(marker)

    rebuilt = rebuild(header, read_records(header, marker), horizon=BASE_TIME + wait)

    assert marker_commits(read_header(rebuilt), rebuilt) is committed


@pytest.mark.parametrize("changes", [[(None, b"")], [(b"k", b""), (b"k", b"")]])
def test_a_batch_that_holds_no_marker_neither_commits_nor_aborts(changes: list[Change]) -> None:
    batch = keyed_batch(changes)

    with pytest.raises(MalformedRecords, match="holds no marker"):
        marker_commits(read_header(batch), batch)


def test_tombstones_and_keys_are_known() -> None:
    batch = keyed_batch([(b"a", b"1"), (b"a", None), (None, b""), (b"", None)])

    records = read_records(read_header(batch), batch)

    assert [(record.key, record.tombstone) for record in records] == [
        (b"a", False),
        (b"a", True),
        (None, False),
        (b"", True),
    ]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
def test_what_would_not_fit_into_memory_is_refused(codec: int) -> None:
    batch = keyed_batch([(b"a", bytes(MAX_DECOMPRESSED))], codec=codec)

    with pytest.raises(MalformedRecords) if codec else nullcontext():
        read_records(read_header(batch), batch)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
@given(garbage=st.binary(max_size=80))
def test_garbage_in_the_place_of_records_is_told_and_never_read(codec: int, garbage: bytes) -> None:
    header = read_header(keyed_batch([(b"a", b"1")] * 3))
    lying = header._replace(attributes=codec, length=HEADER_SIZE - 12 + len(garbage))

    with pytest.raises(MalformedRecords):
        read_records(lying, bytes(HEADER_SIZE) + garbage)
