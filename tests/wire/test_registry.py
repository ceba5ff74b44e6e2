"""Other writers' schemas: learned, resolved by Avro's rules, or lifted step by step."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_writer

from noetl_stream.core.events import BlockId, BlockParked, CancelRequested, ExecutionEnded, Sleep
from noetl_stream.errors import UndecodableRecord, UnknownSchema
from noetl_stream.wire.codec import decode
from noetl_stream.wire.layout import Row
from noetl_stream.wire.registry import Registry
from noetl_stream.wire.schemas import newest, parse


def declared(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(newest()[kind].text)
    return schema


def written(schema: dict[str, Any], row: Row) -> bytes:
    """A row as a foreign writer with this schema puts it in a topic."""
    body = BytesIO()
    schemaless_writer(body, schema, row)
    return b"\xc3\x01" + parse(json.dumps(schema)).fingerprint + body.getvalue()


NEWER = declared("CancelRequested") | {"version": 2}
NEWER["fields"] = [*NEWER["fields"], {"name": "urgency", "type": "long", "default": 0}]

OLDER = declared("CancelRequested") | {
    "version": 0,
    "fields": [{"name": "millis", "type": "long"}, {"name": "why", "type": "string"}],
}


def seconds_and_reason(row: Row) -> Row:
    return {"time": row["millis"] / 1000, "reason": row["why"]}


def test_a_foreign_schema_is_unknown_until_it_is_learned() -> None:
    registry = Registry()
    record = written(NEWER, {"time": 1.0, "reason": "r", "actor": None, "urgency": 7})
    with pytest.raises(UnknownSchema) as caught:
        registry.decode(record)

    fingerprint = registry.learn(json.dumps(NEWER))

    assert fingerprint == caught.value.fingerprint
    assert registry.decode(record) == CancelRequested(time=1.0, reason="r")


def test_what_one_registry_learns_the_released_codec_does_not() -> None:
    Registry().learn(json.dumps(NEWER))

    with pytest.raises(UnknownSchema):
        decode(written(NEWER, {"time": 1.0, "reason": "r", "actor": None, "urgency": 7}))


def test_an_older_version_is_lifted_by_its_upcaster_and_the_rest_takes_defaults() -> None:
    registry = Registry(upcasters={("CancelRequested", 0): seconds_and_reason})
    registry.learn(json.dumps(OLDER))

    lifted = registry.decode(written(OLDER, {"millis": 1500, "why": "too late"}))

    assert lifted == CancelRequested(time=1.5, reason="too late")


def test_what_an_upcaster_leaves_out_needs_no_conversion() -> None:
    older = declared("ExecutionEnded") | {"version": 0, "fields": [{"name": "ok", "type": "boolean"}]}
    registry = Registry(upcasters={("ExecutionEnded", 0): lambda row: {"status": "COMPLETED"}})
    registry.learn(json.dumps(older))

    assert registry.decode(written(older, {"ok": True})) == ExecutionEnded(status="COMPLETED")


def test_an_older_version_that_nothing_can_lift_is_undecodable() -> None:
    registry = Registry()
    registry.learn(json.dumps(OLDER))

    with pytest.raises(UndecodableRecord, match="does not fit"):
        registry.decode(written(OLDER, {"millis": 1500, "why": "too late"}))


def test_records_side_by_side_in_a_union_resolve_from_a_foreign_schema() -> None:
    newer = declared("BlockParked") | {"version": 2}
    newer["fields"] = [*newer["fields"], {"name": "mood", "type": ["null", "string"], "default": None}]
    registry = Registry()
    registry.learn(json.dumps(newer))
    row = {
        "block": {"step": "a", "epoch": 0, "iteration": 0},
        "attempt": 0,
        "segment": 0,
        "run": "r",
        "wait": ("noetl.Sleep", {"until": 9.0}),
        "time": 1.0,
        "resume": b"null",
        "writes": b"{}",
        "tries": 1,
    }

    parked = registry.decode(written(newer, row))

    assert parked == BlockParked(
        block=BlockId("a", 0, 0), attempt=0, segment=0, run="r", wait=Sleep(until=9.0), time=1.0
    )


def test_a_kind_that_this_release_has_no_class_for_stays_unknown() -> None:
    stranger = {"type": "record", "name": "Stranger", "namespace": "noetl", "version": 1, "fields": []}
    registry = Registry()

    fingerprint = registry.learn(json.dumps(stranger))

    with pytest.raises(UnknownSchema, match=fingerprint):
        registry.decode(written(stranger, {}))


def test_our_own_schema_cannot_be_replaced_by_one_with_its_fingerprint() -> None:
    """Defaults are no part of a fingerprint: a foreign text may differ in them and still claim ours."""
    twin = declared("CancelRequested")
    twin["fields"][1]["default"] = "because"
    registry = Registry()
    registry.learn(json.dumps(twin))

    assert registry.decode(registry.encode(CancelRequested(time=1.0))) == CancelRequested(time=1.0, reason="")


@pytest.mark.parametrize(
    "text",
    ["", "[]", '"string"', '{"type": "record", "name": "A", "fields": []}', '{"name": "A", "version": 1}'],
)
def test_a_text_that_is_no_versioned_record_schema_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a versioned Avro record schema"):
        Registry().learn(text)
