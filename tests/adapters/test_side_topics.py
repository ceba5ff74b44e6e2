"""Checkpoints, schemas and dead letters come back from their topics as they went."""

from __future__ import annotations

import json

import pytest

from noetl_stream.adapters.checkpoints import KafkaCheckpoints
from noetl_stream.adapters.dead_letters import DeadLetters
from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.adapters.schema_topic import SchemaTopic
from noetl_stream.core.events import CancelRequested
from noetl_stream.core.snapshot import shape
from noetl_stream.errors import UndecodableRecord, UnknownSchema
from noetl_stream.orchestrator.saved import Saved
from noetl_stream.ports.log import Record
from noetl_stream.wire.codec import encode
from noetl_stream.wire.records import Checkpoint, PartitionMarker, SchemaRegistered
from noetl_stream.wire.registry import Registry
from noetl_stream.wire.schemas import newest, parse, released
from noetl_stream.wire.topics import Topics

pytestmark = pytest.mark.slow


@pytest.fixture
def checkpoints(topics: Topics, appender: KafkaAppender, reader: KafkaReader) -> KafkaCheckpoints:
    return KafkaCheckpoints(appender, reader, topics.checkpoints.name)


def checkpoint(machine: int, offset: int, fence: int) -> Checkpoint:
    return Checkpoint(machine=machine, offset=offset, fence=fence, body=b"state", shape=shape())


def marker(partition: int, folded_to: int, fence: int) -> PartitionMarker:
    return PartitionMarker(partition=partition, folded_to=folded_to, fence=fence, body=b"", shape=shape())


async def saved(checkpoints: KafkaCheckpoints, partition: int) -> Saved:
    """What an owner whose fence is the very first would begin from."""
    return Saved.of(await checkpoints.read(partition), fence=0)


async def test_an_untouched_partition_restores_to_nothing(checkpoints: KafkaCheckpoints) -> None:
    assert await saved(checkpoints, 1) == Saved()


async def test_a_restore_takes_the_furthest_marker_and_each_machines_furthest_checkpoint(
    checkpoints: KafkaCheckpoints,
) -> None:
    for written in (checkpoint(7, 10, 1), checkpoint(8, 12, 1), checkpoint(7, 20, 1)):
        await checkpoints.write(1, written)
    for folded_to in (12, 20):
        await checkpoints.mark(marker(1, folded_to, 1))

    restored = await saved(checkpoints, 1)

    assert restored.marker == marker(1, 20, 1)
    assert restored.checkpoints == {7: checkpoint(7, 20, 1), 8: checkpoint(8, 12, 1)}
    assert (await saved(checkpoints, 0)).marker is None


async def test_a_paused_owner_cannot_overwrite_its_successors_checkpoint(
    checkpoints: KafkaCheckpoints,
) -> None:
    await checkpoints.write(0, checkpoint(7, 50, 2))
    await checkpoints.mark(marker(0, 50, 2))

    await checkpoints.write(0, checkpoint(7, 30, 1))
    await checkpoints.mark(marker(0, 30, 1))

    restored = await saved(checkpoints, 0)
    assert restored.checkpoints == {7: checkpoint(7, 50, 2)}
    assert restored.marker is not None
    assert restored.marker.folded_to == 50


async def test_one_checkpoint_is_read_back_from_where_it_was_written(checkpoints: KafkaCheckpoints) -> None:
    """How a sleeping execution wakes: without reading the partition."""
    first = Checkpoint(machine=1, offset=5, fence=2, body=b"first")
    second = Checkpoint(machine=2, offset=5, fence=2, body=b"second")
    places = [await checkpoints.write(0, each) for each in (first, second)]

    assert [await checkpoints.read_one(0, place) for place in places] == [first, second]


async def test_a_forgotten_machine_and_a_forgotten_marker_are_not_restored(
    checkpoints: KafkaCheckpoints,
) -> None:
    await checkpoints.write(0, checkpoint(7, 50, 2))
    await checkpoints.mark(marker(0, 50, 2))
    await checkpoints.forget(0, 7, 2)
    await checkpoints.forget(0, 0, 2)

    assert await saved(checkpoints, 0) == Saved()


async def test_no_state_is_guessed_from_what_is_no_checkpoint(
    checkpoints: KafkaCheckpoints, topics: Topics, appender: KafkaAppender
) -> None:
    await appender.append(topics.checkpoints.name, encode(CancelRequested(time=1.0)), key=b"k", partition=0)

    with pytest.raises(UndecodableRecord, match="a CancelRequested stands among the checkpoints"):
        await checkpoints.read(0)


async def test_our_schemas_are_registered_once(
    topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    first = SchemaTopic(appender, reader, topics.schemas.name, Registry())
    second = SchemaTopic(appender, reader, topics.schemas.name, Registry())

    assert await first.publish() == len(released())
    assert await second.publish() == 0


async def test_a_newer_writers_records_are_read_once_its_schema_is_learned(
    topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    newer = json.loads(newest()["CancelRequested"].text) | {"version": 2}
    newer["fields"].append({"name": "urgency", "type": ["null", "long"], "default": None})
    fingerprint = parse(json.dumps(newer)).fingerprint
    ours = encode(CancelRequested(time=1.0))
    record = b"\xc3\x01" + fingerprint + ours[10:] + b"\x00"
    registry = Registry()
    schemas = SchemaTopic(appender, reader, topics.schemas.name, registry)
    await schemas.catch_up()
    with pytest.raises(UnknownSchema):
        registry.decode(record)

    registered = SchemaRegistered(fingerprint=fingerprint.hex(), schema=json.dumps(newer))
    await appender.append(topics.schemas.name, encode(registered), key=fingerprint, partition=0)
    await schemas.catch_up()

    assert registry.decode(record) == CancelRequested(time=1.0)


async def test_a_broken_registration_does_not_stop_the_others(
    topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    broken = SchemaRegistered(fingerprint="00", schema="not a schema")
    for value in (b"junk", encode(broken), None):
        await appender.append(topics.schemas.name, value, key=b"k", partition=0)

    schemas = SchemaTopic(appender, reader, topics.schemas.name, Registry())

    assert await schemas.publish() == len(released())


async def test_a_dead_letter_holds_the_original_the_reason_and_the_origin(
    topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    original = Record(
        topic="t",
        partition=3,
        offset=9,
        timestamp=0,
        key=b"k",
        value=b"v",
        headers=(("a", b"1"), ("a", b"2")),
    )
    empty = Record(topic="t", partition=3, offset=10, timestamp=0, key=None, value=None)
    letters = DeadLetters(appender, topics.dead_letters.name)
    for record in (original, empty):
        await letters.put(record, "unreadable record")

    found = [record async for record in reader.read(topics.dead_letters.name, 0, 0, 2)]

    assert (found[0].key, found[0].value) == (b"k", b"v")
    assert found[0].headers == (
        ("a", b"1"),
        ("a", b"2"),
        ("noetl-reason", b"unreadable record"),
        ("noetl-origin-topic", b"t"),
        ("noetl-origin-partition", b"3"),
        ("noetl-origin-offset", b"9"),
    )
    assert dict(found[1].headers)["noetl-origin-offset"] == b"10"
