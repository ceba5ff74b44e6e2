"""Every kind of record survives the wire; whatever else stands in a topic is told apart, and never guessed at."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noetl_stream.core.events import BlockId, BlockOffered, CancelRequested, Decision
from noetl_stream.core.messages import Offer
from noetl_stream.errors import UndecodableRecord, UnknownSchema
from noetl_stream.wire.codec import (
    as_event,
    decode,
    decode_event,
    decode_offer,
    encode,
    encode_offer,
    expect,
)
from noetl_stream.wire.layout import RECORDS, Layouts
from noetl_stream.wire.records import Request
from noetl_stream.wire.schemas import newest
from tests.wire import strategies

CANCEL = CancelRequested(time=1.5, reason="too late")
DECISION = Decision(
    fence=1, after=2, at=3.0, moves=(BlockOffered(block=BlockId("a", 0, 0), attempt=0, segment=0),)
)


@pytest.mark.parametrize("kind", RECORDS.values(), ids=RECORDS)
def test_every_record_comes_back_as_it_went(kind: type[Any]) -> None:
    @settings(max_examples=50, deadline=None)
    @given(strategies.record(kind))
    def comes_back(record: Any) -> None:
        assert decode(encode(record)) == record

    comes_back()


def test_a_field_that_a_schema_lacks_is_not_lost_in_silence() -> None:
    with pytest.raises(LookupError, match="the schema of CancelRequested lacks actor, reason"):
        Layouts(encode, decode, decode).of("CancelRequested", [{"name": "time", "type": "double"}])


def test_a_record_begins_with_its_schemas_fingerprint() -> None:
    assert encode(CANCEL)[:10] == b"\xc3\x01" + newest()["CancelRequested"].fingerprint


def test_an_unknown_schema_is_told_by_its_fingerprint() -> None:
    foreign = b"\xc3\x01" + bytes(range(8)) + b"whatever"

    with pytest.raises(UnknownSchema) as caught:
        decode(foreign)

    assert caught.value.fingerprint == "0001020304050607"


def test_a_decision_with_one_move_of_an_unknown_schema_is_unknown_as_a_whole() -> None:
    known = newest()["BlockOffered"].fingerprint

    with pytest.raises(UnknownSchema) as caught:
        decode(encode(DECISION).replace(known, bytes(8)))

    assert caught.value.fingerprint == "00" * 8


def test_a_decision_may_hold_nothing_but_moves() -> None:
    smuggled = Decision(fence=1, after=2, at=3.0, moves=(CANCEL,))  # type: ignore[arg-type]

    with pytest.raises(UndecodableRecord, match="a CancelRequested stands among a decision's moves"):
        decode(encode(smuggled))


@pytest.mark.parametrize("junk", [b"", b"\xc3\x01", b'{"playbook": "hello"}', b"\xc3\x02" + bytes(8)])
def test_bytes_without_a_head_are_no_record(junk: bytes) -> None:
    with pytest.raises(UndecodableRecord, match="begin with C3 01"):
        decode(junk)


def test_a_record_that_breaks_off_or_runs_on_is_no_record() -> None:
    encoded = encode(CANCEL)

    with pytest.raises(UndecodableRecord, match="does not fit"):
        decode(encoded[:-3])
    with pytest.raises(UndecodableRecord, match="2 bytes follow"):
        decode(encoded + b"??")


@settings(deadline=None)
@given(st.sampled_from([*newest().values()]), st.binary(max_size=60))
def test_any_body_is_read_or_refused(schema: Any, body: bytes) -> None:
    try:
        record = decode(b"\xc3\x01" + schema.fingerprint + body)
    except (UndecodableRecord, UnknownSchema):
        return
    assert type(record) is RECORDS[schema.kind]


@settings(deadline=None)
@given(st.data())
def test_a_record_with_one_byte_changed_is_read_or_refused(draw: st.DataObject) -> None:
    encoded = bytearray(encode(DECISION))
    encoded[draw.draw(st.integers(0, len(encoded) - 1))] = draw.draw(st.integers(0, 255))
    try:
        record = decode(bytes(encoded))
    except (UndecodableRecord, UnknownSchema):
        return
    assert type(record) is Decision


def test_only_events_belong_in_the_event_log() -> None:
    assert decode_event(encode(CANCEL)) == CANCEL
    with pytest.raises(UndecodableRecord, match="a Request does not belong in the event log"):
        decode_event(encode(Request(playbook="hello")))
    with pytest.raises(UndecodableRecord, match="BlockOffered"):
        as_event(DECISION.moves[0])


def test_a_block_topic_holds_offers_alone() -> None:
    offer = Offer(
        execution=1,
        block=BlockId("load", 0, 0),
        attempt=0,
        segment=0,
        pool="default",
        path="hello",
        version=1,
        digest="d",
        catalog_offset=0,
        tenant="default",
        seed="s",
        at=1.0,
        total=1,
        inline_limit=1024,
    )

    assert decode_offer(encode_offer(offer)) == offer
    with pytest.raises(UndecodableRecord, match="a CancelRequested stands where a Offer belongs"):
        decode_offer(encode(CANCEL))
    assert expect(Offer, offer) is offer


def test_a_field_that_the_schema_cannot_hold_is_refused() -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(CancelRequested(time="noon"))  # type: ignore[arg-type]
