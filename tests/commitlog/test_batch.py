"""What the broker accepts from producers, and what it makes of it."""

from __future__ import annotations

import struct

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from crc32c import crc32c
from kio.schema.errors import ErrorCode

from noetl_stream.commitlog.batch import (
    check_produced,
    intact,
    read_header,
    stamp,
    transaction_marker,
)
from noetl_stream.commitlog.record_codec import marker_commits
from noetl_stream.commitlog.refusal import Refused
from tests.commitlog.samples import batch

_ANY_SIZE = 1 << 20


def _refusal(records: bytes | None, max_bytes: int = _ANY_SIZE) -> ErrorCode:
    with pytest.raises(Refused) as refused:
        check_produced(records, max_bytes)
    return refused.value.code


def test_a_sound_batch_is_described_by_its_header() -> None:
    header = check_produced(batch(b"a", b"b", producer_id=5, epoch=2, sequence=10), _ANY_SIZE)

    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (5, 2, 10)
    assert (header.record_count, header.last_sequence) == (2, 11)


def test_stamping_an_offset_leaves_the_crc_intact() -> None:
    stamped = stamp(batch(b"a", b"b"), 41)

    header = read_header(stamped)
    assert intact(header, stamped)
    assert (header.base_offset, header.next_offset) == (41, 43)


def test_sequences_wrap_as_kafka_lets_them() -> None:
    header = check_produced(batch(b"a", b"b", producer_id=1, epoch=0, sequence=0x7FFFFFFF), _ANY_SIZE)

    assert header.last_sequence == 0


@pytest.mark.parametrize("at", [22, 61, -1])
def test_a_flipped_bit_is_corrupt(at: int) -> None:
    damaged = bytearray(batch(b"value"))
    damaged[at] ^= 1

    assert _refusal(bytes(damaged)) is ErrorCode.corrupt_message


def test_a_cut_batch_is_no_batch() -> None:
    assert _refusal(batch(b"value")[:-1]) is ErrorCode.invalid_record
    assert _refusal(batch(b"value")[:40]) is ErrorCode.invalid_record
    assert _refusal(None) is ErrorCode.invalid_record


def test_two_batches_for_one_partition_are_refused() -> None:
    assert _refusal(batch(b"a") + batch(b"b")) is ErrorCode.invalid_record


def test_old_formats_are_refused() -> None:
    old = bytearray(batch(b"a"))
    old[16] = 1

    assert _refusal(bytes(old)) is ErrorCode.invalid_record


def test_a_batch_over_the_topics_limit_is_too_large() -> None:
    assert _refusal(batch(b"x" * 100), max_bytes=100) is ErrorCode.message_too_large


def test_a_producer_cannot_write_markers() -> None:
    marker = transaction_marker(producer_id=1, epoch=0, committed=True, timestamp=0)

    assert _refusal(marker) is ErrorCode.invalid_record


def test_a_count_that_disagrees_with_the_offsets_is_refused() -> None:
    wrong = bytearray(batch(b"a", b"b"))
    struct.pack_into(">i", wrong, 57, 3)
    struct.pack_into(">I", wrong, 17, crc32c(bytes(wrong[21:])))

    assert _refusal(bytes(wrong)) is ErrorCode.invalid_record


@pytest.mark.parametrize("committed", [True, False])
def test_a_marker_reads_as_kafkas_own(committed: bool) -> None:
    """A client's decoder sees a transactional control batch whose record says commit or abort."""
    marker = transaction_marker(producer_id=9, epoch=3, committed=committed, timestamp=1234)

    decoded = DefaultRecordBatch(bytearray(marker))
    assert decoded.validate_crc()
    assert decoded.is_control_batch
    assert decoded.is_transactional
    (record,) = decoded
    assert record.key == struct.pack(">hh", 0, int(committed))
    assert (decoded.producer_id, decoded.producer_epoch, record.timestamp) == (9, 3, 1234)
    assert marker_commits(read_header(marker), marker) is committed
