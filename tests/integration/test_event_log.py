"""What the event log holds that nobody can read, or that is read again: no partition stands still, no state differs."""

from __future__ import annotations

import json
from contextlib import suppress
from io import BytesIO
from uuid import uuid4

import pytest
from fastavro import schemaless_writer

from noetl_stream.agents.roles import running
from noetl_stream.core.events import ExecutionRequested, RecordRejected
from noetl_stream.errors import NoetlError
from noetl_stream.ids import execution_id, identity, partition_of
from noetl_stream.settings import Settings
from noetl_stream.wire.codec import decode_event, encode
from noetl_stream.wire.records import SchemaRegistered
from noetl_stream.wire.schemas import parse, released
from tests.integration.client import Client, connected, installed
from tests.integration.test_requests import GREET

UNREADABLE = [
    pytest.param(b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08 of another release", b"17", id="schema"),
    pytest.param(b"no record of ours", b"17", id="bytes"),
    pytest.param(b"", b"17", id="nothing"),
    pytest.param(b"no record of ours", b"not an execution", id="key"),
]


@pytest.mark.parametrize(("value", "key"), UNREADABLE)
async def test_a_record_that_nobody_can_read_is_set_aside_and_its_partition_goes_on(
    settings: Settings, value: bytes, key: bytes
) -> None:
    async with installed(settings) as client:
        await client.register(GREET)
        first = await client.ask("greet")
        await client.story(first)
        events = client.platform.topics.events
        partition = partition_of(first, events.partitions)
        offset = await client.platform.log.append(events.name, value, key=key, partition=partition)
        second = await client.ask_in(partition, "greet")
        story = await client.story(second)
        letters = await client.letters()

    assert story.status == "COMPLETED"
    assert [(letter.origin, letter.value) for letter in letters] == [
        ((events.name, partition, offset), value)
    ]
    async with connected(settings) as later:
        assert await _rejections(later, second) == [offset]
        assert (await later.story(first)).status == "COMPLETED"


async def test_a_new_owner_passes_over_what_an_earlier_one_rejected(settings: Settings) -> None:
    async with installed(settings) as client:
        await client.register(GREET)
        execution = await client.ask("greet")
        await client.story(execution)
        partition = partition_of(execution, settings.partitions)
        await client.platform.log.append(settings.topics.events.name, b"junk", key=b"1", partition=partition)
        await client.story(await client.ask_in(partition, "greet"))
        letters = await client.letters()
    async with installed(settings) as client:
        story = await client.story(await client.ask_in(partition, "greet"))
        assert story.status == "COMPLETED"
        assert await client.letters() == letters


async def _rejections(client: Client, execution: int) -> list[int]:
    """The offsets that were rejected in an execution's partition."""
    found: list[int] = []
    for record in await client.log_of(execution):
        with suppress(NoetlError):
            event = decode_event(record.value or b"")
            found += [event.offset] if isinstance(event, RecordRejected) else []
    return found


async def test_a_new_owner_learns_a_schema_that_was_registered_after_its_process_began(
    settings: Settings,
) -> None:
    """A partition that moves brings records of writers that this process has not heard of."""
    async with installed(settings, "intake") as client:
        execution = await _asked(client, reply_to := f"replies-{uuid4().hex[:8]}")
        newer, encoded = _from_a_later_release()
        topics, log = client.platform.topics, client.platform.log
        await log.append(topics.schemas.name, encode(newer), key=newer.fingerprint.encode(), partition=0)
        partition = partition_of(execution, topics.events.partitions)
        await log.append(topics.events.name, encoded, key=str(execution).encode(), partition=partition)
        async with running(client.platform, ["orchestrator", "worker:default"]):
            [reply] = await client.records(reply_to, 0, 1)

        assert json.loads(reply.value or b"")["status"] == "CANCELLED"
        assert await client.letters() == []


async def test_what_an_owner_could_not_read_and_died_before_rejecting_the_next_owner_rejects(
    settings: Settings,
) -> None:
    async with installed(settings, "intake") as client:
        execution = await _asked(client, reply_to := f"replies-{uuid4().hex[:8]}")
        events = client.platform.topics.events
        partition = partition_of(execution, events.partitions)
        offset = await client.platform.log.append(events.name, b"junk", key=b"1", partition=partition)
        async with running(client.platform, ["orchestrator", "worker:default"]):
            await client.records(reply_to, 0, 1)
            letters = await client.letters()
            rejected = await _rejections(client, execution)
        async with running(client.platform, ["orchestrator", "worker:default"]):
            await client.story(await client.ask_in(partition, "greet"))
            assert await client.letters() == letters

    assert [(letter.origin, letter.value) for letter in letters] == [
        ((events.name, partition, offset), b"junk")
    ]
    assert rejected == [offset]


async def test_an_execution_whose_playbook_no_longer_compiles_is_set_aside_by_a_new_owner(
    settings: Settings,
) -> None:
    """It costs one execution, answered as failed; the partition is restored all the same."""
    async with installed(settings, "intake") as client:
        reply_to = f"replies-{uuid4().hex[:8]}"
        partition = partition_of(await _asked(client, reply_to), settings.partitions)
        version, offset = await client.platform.catalog.register("greet", GREET + "  no_such_key: 1\n")
        entry = client.platform.catalog.lookup("greet", version)
        assert entry is not None
        await _pinned(client, partition, entry.digest, version, offset, reply_to)
        async with running(client.platform, ["orchestrator", "worker:default"]):
            replies = [json.loads(record.value or b"") for record in await client.records(reply_to, 0, 2)]

    assert {reply["status"]: (reply["error"] or {}).get("kind") for reply in replies} == {
        "COMPLETED": None,
        "FAILED": "quarantined",
    }


async def test_an_execution_pinned_to_another_catalog_holds_its_partition_for_a_bounded_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog's topic was recreated: what it never reaches is set aside, with what to do."""
    monkeypatch.setattr("noetl_stream.adapters.plans.PATIENCE", 0.2)
    async with installed(settings) as client:
        reply_to = f"replies-{uuid4().hex[:8]}"
        await client.register(GREET)
        partition = partition_of(await client.ask("greet"), settings.partitions)
        await _pinned(client, partition, "0" * 64, 1, 1_000, reply_to)
        [reply] = [json.loads(record.value or b"") for record in await client.records(reply_to, 0, 1)]
        story = await client.story(await client.ask_in(partition, "greet"))

    assert (reply["status"], reply["error"]["kind"]) == ("FAILED", "quarantined")
    assert "register the playbook, and ask again with another key" in reply["error"]["message"]
    assert story.status == "COMPLETED"


async def _pinned(
    client: Client, partition: int, digest: str, version: int, catalog_offset: int, reply_to: str
) -> None:
    """A request fact that stands in this partition of the log, whatever the catalog says to it."""
    hashed = identity("a request of an earlier release", partition)
    while partition_of(execution_id(hashed), client.platform.settings.partitions) != partition:
        hashed = identity("another", hashed.hex())
    request = ExecutionRequested(
        identity=hashed.hex(),
        path="greet",
        version=version,
        digest=digest,
        catalog_offset=catalog_offset,
        payload={},
        seed="",
        time=0.0,
        reply_to=reply_to,
    )
    await client.platform.facts.report(execution_id(hashed), request)


async def _asked(client: Client, reply_to: str) -> int:
    """An execution that waits in the log for its first owner."""
    path = await client.register(GREET)
    execution = await client.ask(path, reply_to=reply_to)
    await client.told(execution, until=lambda _: True)
    return execution


def _from_a_later_release() -> tuple[SchemaRegistered, bytes]:
    """A newer version of a cancel, with a field that this release does not know: its schema, and one record."""
    [ours] = [schema for schema in released() if schema.kind == "CancelRequested"]
    declared = json.loads(ours.text)
    declared["version"] += 1
    declared["fields"].append({"name": "severity", "type": "long", "default": 0})
    newer = parse(json.dumps(declared))
    body = BytesIO()
    schemaless_writer(body, newer.parsed, {"time": 1.0, "reason": "a later release said so", "severity": 9})
    registered = SchemaRegistered(fingerprint=newer.fingerprint.hex(), schema=newer.text)
    return registered, b"\xc3\x01" + newer.fingerprint + body.getvalue()
