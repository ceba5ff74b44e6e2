"""The log keeps the order of the calls, gives back what was appended, and says when it does not know."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import aclosing
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from noetl_stream.adapters.admin import ensure_topics
from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.broker.launch import start_broker
from noetl_stream.errors import AppendUnknown, InfrastructureError
from noetl_stream.ports.log import Appender, Reader, Record
from noetl_stream.wire.topics import Topic, Topics

pytestmark = pytest.mark.slow


class Narrow(Topic):
    """A topic that takes only small batches."""

    @property
    def config(self) -> dict[str, str]:
        return {"max.message.bytes": "1000"}


async def read(reader: Reader, topic: Topic, start: int, stop: int, partition: int = 0) -> list[Record]:
    return [record async for record in reader.read(topic.name, partition, start, stop)]


async def test_records_land_in_the_order_of_the_calls(
    topics: Topics, appender: KafkaAppender, reader: KafkaReader
) -> None:
    values = [f"{n}".encode() * 50 for n in range(2000)]

    offsets = await asyncio.gather(
        *(appender.append_soon(topics.events.name, value, partition=1) for value in values)
    )

    assert offsets == list(range(2000))
    assert [record.value for record in await read(reader, topics.events, 0, 2000, partition=1)] == values


async def test_a_record_comes_back_whole(topics: Topics, appender: Appender, reader: Reader) -> None:
    await appender.append(
        topics.events.name, b"v", key=b"k", partition=1, headers={"noetl-type": "BlockCompleted"}
    )

    [record] = await read(reader, topics.events, 0, 1, partition=1)

    assert (record.topic, record.partition, record.offset) == (topics.events.name, 1, 0)
    assert (record.key, record.value, record.headers) == (b"k", b"v", (("noetl-type", b"BlockCompleted"),))


async def test_a_read_ends_before_its_stop(topics: Topics, appender: Appender, reader: Reader) -> None:
    for n in range(10):
        await appender.append(topics.events.name, bytes([n]), partition=0)

    assert [record.offset for record in await read(reader, topics.events, 3, 7)] == [3, 4, 5, 6]
    assert await read(reader, topics.events, 7, 7) == []
    assert await reader.end(topics.events.name, 0) == 10


async def test_a_tail_sees_what_comes_later(topics: Topics, appender: Appender, reader: KafkaReader) -> None:
    async with aclosing(reader.read(topics.events.name, 0, 0)) as tail:
        coming = asyncio.ensure_future(anext(tail))
        await appender.append(topics.events.name, b"late", partition=0)
        assert (await coming).value == b"late"


async def test_a_read_passes_gaps_and_ends_where_nothing_is_left(
    bootstrap: str, topics: Topics, reader: Reader
) -> None:
    """Transaction markers take offsets that no reader is given, as compaction does: here 1 and 3."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="gaps") as producer:
        for value in (b"a", b"b"):
            async with producer.transaction():
                await producer.send_and_wait(topics.events.name, value, partition=0)
    end = await reader.end(topics.events.name, 0)

    assert [(r.offset, r.value) for r in await read(reader, topics.events, 0, end)] == [(0, b"a"), (2, b"b")]
    assert end == 4


async def test_a_time_names_the_first_offset_at_or_after_it(
    topics: Topics, appender: Appender, reader: Reader
) -> None:
    for n in range(3):
        await appender.append(topics.events.name, bytes([n]), partition=0)
    times = [record.timestamp for record in await read(reader, topics.events, 0, 3)]

    assert await reader.at_time(topics.events.name, 0, times[0]) == 0
    assert await reader.at_time(topics.events.name, 0, times[-1] + 1) is None


async def test_several_reads_run_beside_each_other(
    topics: Topics, appender: Appender, reader: Reader
) -> None:
    for partition in (0, 1):
        await appender.append(topics.events.name, bytes([partition]), partition=partition)

    found = await asyncio.gather(*(read(reader, topics.events, 0, 1, partition) for partition in (0, 1)))

    assert [record.value for [record] in found] == [b"\0", b"\1"]


async def test_an_offset_beyond_the_end_is_an_error_that_names_it(topics: Topics, reader: Reader) -> None:
    with pytest.raises(InfrastructureError, match="does not hold the offset asked for"):
        await read(reader, topics.events, 500, 501)


async def test_a_record_that_is_too_large_certainly_does_not_stand_in_the_log(
    topics: Topics, appender: Appender
) -> None:
    with pytest.raises(InfrastructureError, match="MessageSizeTooLargeError") as caught:
        await appender.append(topics.events.name, bytes(2_000_000), partition=0)

    assert not isinstance(caught.value, AppendUnknown)
    assert await appender.append(topics.events.name, b"next", partition=0) == 0


async def test_after_a_refusal_by_the_broker_the_appender_goes_on(
    bootstrap: str, appender: KafkaAppender, reader: Reader
) -> None:
    """What was refused takes its sequence number with it: what follows it in flight is not lost in silence."""
    narrow = Narrow(name=f"narrow-{id(appender)}", partitions=1, replication=1)
    await ensure_topics(bootstrap, [narrow])

    await appender.append(narrow.name, b"before", partition=0)

    large = appender.append_soon(narrow.name, bytes(5_000), partition=0)
    behind = appender.append_soon(narrow.name, b"behind", partition=0)
    outcomes = await asyncio.gather(large, behind, return_exceptions=True)
    after = await appender.append(narrow.name, b"after", partition=0)

    assert isinstance(outcomes[0], InfrastructureError)
    values = [record.value for record in await read(reader, narrow, 0, after + 1)]
    assert values[-1] == b"after"
    assert bytes(5_000) not in values
    assert (b"behind" in values) == isinstance(outcomes[1], int)


async def test_a_partition_that_does_not_exist_is_refused(topics: Topics, appender: Appender) -> None:
    with pytest.raises(InfrastructureError, match=r"appending to .*events\[7\] failed"):
        await appender.append(topics.events.name, b"v", partition=7)


async def test_a_closed_appender_takes_nothing_more(bootstrap: str, topics: Topics) -> None:
    appender = await KafkaAppender.open(bootstrap)
    last = appender.append_soon(topics.events.name, b"v", partition=0)
    await appender.close()

    assert last.result() == 0
    with pytest.raises(InfrastructureError, match="closed"):
        await appender.append(topics.events.name, b"v", partition=0)


async def test_without_a_broker_the_next_step_is_named() -> None:
    with pytest.raises(InfrastructureError, match=r"127\.0\.0\.1:1 .*noetl-stream up"):
        await KafkaAppender.open("127.0.0.1:1", timeout=0.5)
    with pytest.raises(InfrastructureError, match="noetl-stream up"):
        await KafkaReader("127.0.0.1:1", timeout=0.5).end("t", 0)


async def test_an_append_to_a_broker_that_has_stopped_answering_has_an_unknown_fate(tmp_path: Path) -> None:
    """A paused broker may still carry out what it was sent; here it does, and reading back finds it."""
    broker = start_broker(tmp_path)
    topics = Topics(partitions=1)
    await ensure_topics(broker.bootstrap, topics.all())
    appender = await KafkaAppender.open(broker.bootstrap, timeout=1.0)
    await appender.append(topics.events.name, b"before", partition=0)

    os.kill(broker.pid, signal.SIGSTOP)
    with pytest.raises(AppendUnknown, match="repeat it byte for byte"):
        await appender.append(topics.events.name, b"into the silence", partition=0)
    os.kill(broker.pid, signal.SIGCONT)

    reader = KafkaReader(broker.bootstrap)
    found = await read(reader, topics.events, 0, 2)
    assert [record.value for record in found] == [b"before", b"into the silence"]
    await appender.close()
    await reader.close()
    broker.stop()


async def test_an_appender_closes_although_its_broker_is_gone(tmp_path: Path) -> None:
    broker = start_broker(tmp_path)
    topics = Topics(partitions=1)
    await ensure_topics(broker.bootstrap, topics.all())
    appender = await KafkaAppender.open(broker.bootstrap, timeout=1.0)
    await appender.append(topics.events.name, b"before", partition=0)

    broker.kill()
    with pytest.raises(AppendUnknown):
        await appender.append(topics.events.name, b"after", partition=0)

    await asyncio.wait_for(appender.close(), 20.0)


async def test_an_appender_closes_soon_although_its_broker_is_silent(tmp_path: Path) -> None:
    """What is on its way when a process must end is given up: a supervisor would kill it next."""
    broker = start_broker(tmp_path)
    topics = Topics(partitions=1)
    await ensure_topics(broker.bootstrap, topics.all())
    appender = await KafkaAppender.open(broker.bootstrap)
    await appender.append(topics.events.name, b"before", partition=0)

    os.kill(broker.pid, signal.SIGSTOP)
    unanswered = appender.append_soon(topics.events.name, b"into the silence", partition=0)
    await asyncio.wait_for(appender.close(), 9.0)
    os.kill(broker.pid, signal.SIGCONT)
    broker.stop()

    with pytest.raises(AppendUnknown, match="before the appender was closed"):
        await unanswered


async def test_a_reader_closes_although_its_broker_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A fetch that waits for its next try cancels nobody but itself, and no connection is left open."""
    broker = start_broker(tmp_path)
    topics = Topics(partitions=1)
    await ensure_topics(broker.bootstrap, topics.all())
    appender, reader = await KafkaAppender.open(broker.bootstrap), KafkaReader(broker.bootstrap)
    await appender.append(topics.events.name, b"v", partition=0)
    await appender.close()
    async with aclosing(reader.read(topics.events.name, 0, 0)) as tail:
        assert (await anext(tail)).value == b"v"
        coming = asyncio.ensure_future(anext(tail))
        broker.kill()
        await until_logged(caplog, "Failed fetch messages")
        coming.cancel()
        await asyncio.wait({coming})
    await asyncio.wait_for(reader.close(), 5.0)


async def until_logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    async with asyncio.timeout(20.0):
        while True:
            if words in caplog.text:
                return
            await asyncio.sleep(0.01)


async def test_a_broker_that_comes_back_is_found_again(tmp_path: Path) -> None:
    """What was sent into its absence is delivered then, once, before what follows it."""
    broker = start_broker(tmp_path)
    port = int(broker.bootstrap.rpartition(":")[2])
    topics = Topics(partitions=1)
    await ensure_topics(broker.bootstrap, topics.all())
    appender, reader = await KafkaAppender.open(broker.bootstrap), KafkaReader(broker.bootstrap)
    await appender.append(topics.events.name, b"before", partition=0)
    assert len(await read(reader, topics.events, 0, 1)) == 1

    broker.kill()
    meanwhile = appender.append_soon(topics.events.name, b"meanwhile", partition=0)
    broker = start_broker(tmp_path, port=port)

    assert await appender.append(topics.events.name, b"after", partition=0) == 2
    assert meanwhile.result() == 1
    found = await read(reader, topics.events, 0, 3)
    assert [record.value for record in found] == [b"before", b"meanwhile", b"after"]
    await appender.close()
    await reader.close()
    broker.stop()
