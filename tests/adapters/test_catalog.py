"""Playbooks registered by one process are found, compiled, by every other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from noetl_stream.adapters.catalog import KafkaCatalog
from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.adapters.versions import Entry
from noetl_stream.core.plan import Expression, Plan
from noetl_stream.errors import InfrastructureError, InvalidRequest, UnknownSchema
from noetl_stream.wire.topics import Topics

pytestmark = pytest.mark.slow


def compile_nothing(entry: Entry) -> Plan:
    return Plan(
        path=entry.path,
        version=entry.version,
        digest=entry.digest,
        entry="start",
        steps={},
        workload=Expression(evaluate=lambda scope: {}),
    )


@pytest.fixture
async def catalog(
    topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> AsyncIterator[KafkaCatalog]:
    catalog = await KafkaCatalog.open(appender, reader, topics.catalog.name, compile_nothing)
    yield catalog
    await catalog.close()


async def test_a_text_is_registered_once(catalog: KafkaCatalog, topics: Topics, reader: KafkaReader) -> None:
    assert await catalog.register("hello", "a") == (1, 0)
    assert await catalog.register("hello", "a") == (1, 0)
    assert await catalog.register("hello", "b") == (2, 1)

    assert await reader.end(topics.catalog.name, 0) == 2
    assert catalog.lookup("hello", 1) == Entry(
        path="hello", version=1, digest=sha256(b"a").hexdigest(), offset=0, text="a"
    )


async def test_a_catalog_opened_later_holds_what_was_registered_before(
    catalog: KafkaCatalog, topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    await catalog.register("hello", "a")
    await catalog.register("goodbye", "b")

    later = await KafkaCatalog.open(appender, reader, topics.catalog.name, compile_nothing)

    assert later.paths() == ("hello", "goodbye")
    assert later.by_digest(sha256(b"b").hexdigest()) == catalog.lookup("goodbye")
    await later.close()


async def test_what_another_process_registers_arrives_by_itself(
    catalog: KafkaCatalog, topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    other = await KafkaCatalog.open(appender, reader, topics.catalog.name, compile_nothing)

    version, offset = await other.register("hello", "a")
    await catalog.wait_for(offset)

    assert (found := catalog.lookup("hello")) is not None
    assert (found.version, found.offset) == (version, offset)
    await other.close()


async def test_two_registrations_of_one_text_at_once_are_one_version(
    catalog: KafkaCatalog, topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    other = await KafkaCatalog.open(appender, reader, topics.catalog.name, compile_nothing)

    outcomes = await asyncio.gather(catalog.register("hello", "a"), other.register("hello", "a"))

    assert [*outcomes] == [(1, 0), (1, 0)]
    await other.close()


async def test_a_version_is_compiled_once(catalog: KafkaCatalog) -> None:
    await catalog.register("hello", "a")
    entry = catalog.lookup("hello")
    assert entry is not None

    assert catalog.plan(entry) is catalog.plan(entry)
    assert catalog.plan(entry).version == 1


async def test_a_tail_that_lags_is_an_error_that_says_where_the_catalog_stands(
    catalog: KafkaCatalog, topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    """Here it does not follow at all."""
    other = KafkaCatalog(appender, reader, topics.catalog.name, compile_nothing)
    other._tail = asyncio.create_task(asyncio.sleep(60))
    await catalog.register("hello", "a")

    with pytest.raises(InfrastructureError, match=r"stands at offset 0 of .* has not reached 0"):
        await other.wait_for(0, timeout=0.05)
    await other.close()


async def test_an_offset_that_the_topic_lacks_is_waited_for_once(catalog: KafkaCatalog) -> None:
    """A recreated topic: each of its executions waiting its turn would hold the partition for as long as they are many."""
    await catalog.register("hello", "a")
    lacking = pytest.raises(InvalidRequest, match=r"ends at offset 1, and the playbook was pinned at 9")

    with lacking:
        await catalog.wait_for(9, timeout=0.05)
    with lacking:
        await catalog.wait_for(9, timeout=600)


async def test_what_is_registered_after_a_wait_in_vain_is_waited_for(
    catalog: KafkaCatalog, topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    other = KafkaCatalog(appender, reader, topics.catalog.name, compile_nothing)
    other._tail = asyncio.create_task(asyncio.sleep(60))
    with pytest.raises(InvalidRequest):
        await other.wait_for(9, timeout=0.05)
    await catalog.register("hello", "a")

    with pytest.raises(InfrastructureError, match="is the broker well"):
        await other.wait_for(0, timeout=0.05)
    await other.close()


async def test_junk_in_the_topic_takes_no_version(
    catalog: KafkaCatalog, topics: Topics, appender: KafkaAppender
) -> None:
    await appender.append(topics.catalog.name, b"junk", partition=0)

    assert await catalog.register("hello", "a") == (1, 1)


async def test_a_registration_of_an_unknown_schema_stops_whoever_waits(
    catalog: KafkaCatalog, topics: Topics, appender: KafkaAppender
) -> None:
    """Skipping it would give later versions other numbers here than where it can be read."""
    offset = await appender.append(topics.catalog.name, b"\xc3\x01" + bytes(8), partition=0)

    with pytest.raises(UnknownSchema):
        await catalog.wait_for(offset)


async def test_whoever_waits_for_a_closed_catalog_is_told(catalog: KafkaCatalog) -> None:
    waiting = asyncio.ensure_future(catalog.wait_for(9))
    await asyncio.sleep(0)
    await catalog.close()

    with pytest.raises(InfrastructureError, match="closed"):
        await waiting
