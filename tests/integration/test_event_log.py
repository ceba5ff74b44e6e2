"""What the event log holds that nobody can read, or that is read again: no partition stands still, no state differs."""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

import pytest

from noetl_stream.core.events import RecordRejected
from noetl_stream.errors import NoetlError
from noetl_stream.ids import partition_of
from noetl_stream.settings import Settings
from noetl_stream.wire.codec import decode_event
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
        second = await _ask_in(client, partition)
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
        await client.story(await _ask_in(client, partition))
        letters = await client.letters()
    async with installed(settings) as client:
        story = await client.story(await _ask_in(client, partition))
        assert story.status == "COMPLETED"
        assert await client.letters() == letters


async def _ask_in(client: Client, partition: int) -> int:
    """A request whose execution lives in `partition`."""
    for _ in range(1_000):
        key = uuid4().hex
        if (
            partition_of(client.execution("greet", key), client.platform.topics.events.partitions)
            == partition
        ):
            return await client.ask("greet", key=key)
    raise AssertionError("one of a thousand ids falls into each of two partitions")


async def _rejections(client: Client, execution: int) -> list[int]:
    """The offsets that were rejected in an execution's partition."""
    found: list[int] = []
    for record in await client.log_of(execution):
        with suppress(NoetlError):
            event = decode_event(record.value or b"")
            found += [event.offset] if isinstance(event, RecordRejected) else []
    return found
