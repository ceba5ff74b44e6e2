"""Idempotence: a repeated batch is kept once, a gap is refused."""

from __future__ import annotations

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.commitlog.batch import BatchHeader, read_header, stamp
from noetl_stream.commitlog.producers import Producers
from noetl_stream.commitlog.refusal import Refused
from tests.commitlog.samples import batch


def _header(sequence: int, *, epoch: int = 0, records: int = 1, offset: int = 0) -> BatchHeader:
    sent = batch(*[b"v"] * records, producer_id=1, epoch=epoch, sequence=sequence)
    return read_header(stamp(sent, offset))


def _after(*headers: BatchHeader) -> Producers:
    producers = Producers()
    for header in headers:
        assert producers.duplicate_of(header) is None
        producers.note(header)
    return producers


def test_a_repeated_batch_is_found_where_it_stands() -> None:
    producers = _after(_header(0, records=3, offset=100), _header(3, offset=103))

    assert producers.duplicate_of(_header(0, records=3)) == 100
    assert producers.duplicate_of(_header(3)) == 103
    assert producers.duplicate_of(_header(4)) is None


def test_a_gap_is_out_of_order() -> None:
    producers = _after(_header(0))

    with pytest.raises(Refused) as refused:
        producers.duplicate_of(_header(2))

    assert refused.value.code is ErrorCode.out_of_order_sequence_number


def test_a_repetition_older_than_five_batches_is_out_of_order() -> None:
    """A producer has at most five in flight, so an older one is a fault; it is still not kept twice."""
    producers = _after(*(_header(i) for i in range(6)))

    assert producers.duplicate_of(_header(1)) == 0
    with pytest.raises(Refused):
        producers.duplicate_of(_header(0))


def test_a_new_epoch_begins_at_zero_and_fences_the_old() -> None:
    producers = _after(_header(0), _header(0, epoch=1))

    with pytest.raises(Refused) as refused:
        producers.duplicate_of(_header(1, epoch=0))
    assert refused.value.code is ErrorCode.invalid_producer_epoch
    with pytest.raises(Refused):
        producers.duplicate_of(_header(7, epoch=2))


def test_the_sequence_goes_on_over_its_wrap() -> None:
    producers = _after(_header(0x7FFFFFFF))

    assert producers.duplicate_of(_header(0)) is None
