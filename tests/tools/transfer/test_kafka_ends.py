"""Topics at either end, on the embedded broker: JSON records into typed rows and back, a bounded part of a topic a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pyarrow as pa
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import ValidationError

from noetl_stream.adapters.user_kafka import UserKafka
from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import EFFECT_HEADER, Cluster, Drained, Outgoing, Range
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.transfer.bridge import Bridge
from noetl_stream.tools.transfer.config import KafkaEnd, TransferConfig
from noetl_stream.tools.transfer.kafka_source import KafkaSource
from noetl_stream.tools.transfer.kafka_topic import Topic
from noetl_stream.tools.transfer.tool import Transfer
from tests.tools.conftest import Run, call, runner
from tests.tools.transfer.places import Place, move, place

ROWS = pa.table({"id": [1, 2, 3], "name": ["one", None, "three"]})


class Recorded(UserKafka):
    """Notes what is asked for, and appends a record after each reading, as a producer might who never rests."""

    def __init__(self, appended: bytes | None = None) -> None:
        self.asked: list[Range] = []
        self._appended = appended

    async def drain(self, cluster: Cluster, topic: str, wanted: Range) -> Drained:
        self.asked.append(wanted)
        found = await super().drain(cluster, topic, wanted)
        if self._appended is not None:
            await self.produce(cluster, topic, [Outgoing(key=None, value=self._appended)])
        return found


@pytest.fixture
async def tool() -> AsyncIterator[Transfer]:
    tool = Transfer(brokers=UserKafka())
    yield tool
    await tool.close()


@pytest.fixture
async def topic(embedded_bootstrap: str) -> Place:
    name = f"orders-{uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=embedded_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1)])
    await admin.close()
    return Place(end={"kind": "kafka", "topic": name}, url=embedded_bootstrap)


async def put(topic: Place, values: Sequence[Any]) -> None:
    """Each value to partition 0: bytes as they are, anything else as JSON."""
    records = [
        Outgoing(key=b"k", value=each if isinstance(each, bytes | None) else orjson.dumps(each), partition=0)
        for each in values
    ]
    await UserKafka().produce(Cluster(bootstrap=topic.url or ""), topic.end["topic"], records)


def of(there: Place, **more: Any) -> Place:
    return Place(end=there.end | more, url=there.url)


async def read(run: Run, there: Place, **more: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await move(run, of(there, **more), None))["frame"].to_pylist()
    return rows


async def test_rows_become_records_and_records_rows(run: Run, topic: Place) -> None:
    moved = await move(run, None, of(topic, key_field="id"), ROWS, effect="e-7")
    rows = await read(run, topic, places=True)
    records = (
        await UserKafka().drain(Cluster(bootstrap=topic.url or ""), topic.end["topic"], Range())
    ).records

    assert (moved["rows"], moved["target"]) == (3, f"kafka topic {topic.end['topic']}")
    assert sorted((row["id"], row["name"], row["_key"]) for row in rows) == [
        (1, "one", "1"),
        (2, None, "2"),
        (3, "three", "3"),
    ]
    assert {(row["_partition"], row["_offset"]) for row in rows} == {(r.partition, r.offset) for r in records}
    assert sorted(dict(r.headers)[EFFECT_HEADER].decode() for r in records) == ["e-7/0", "e-7/1", "e-7/2"]


async def test_numbers_have_the_digits_that_the_record_has(run: Run, topic: Place) -> None:
    await put(
        topic,
        [
            b'{"amount": "12345678901234.5678", "at": "2024-03-31T01:30:00.000001+00:00", "doc": [12345678901234567890123, 0.10]}',
            b'{"amount": 0.1, "doc": {"a":\n null}}',
            None,
        ],
    )

    types = {"amount": "decimal(20,4)", "at": "timestamptz", "doc": "json"}
    rows = await read(run, topic, types=types)

    assert [row["amount"] for row in rows] == [Decimal("12345678901234.5678"), Decimal("0.1000"), None]
    assert rows[0]["at"].isoformat() == "2024-03-31T01:30:00.000001+00:00"
    assert [row["doc"] for row in rows] == ["[12345678901234567890123,0.10]", '{"a":null}', None]


@pytest.mark.slow
async def test_a_topic_goes_to_a_database_by_its_keys(
    run: Run, topic: Place, tmp_path: Path, database: str
) -> None:
    there = place("postgres", "there", tmp_path, database)
    await put(topic, [{"id": 1, "name": "old"}, {"id": 2, "name": "two"}, {"id": 1, "name": "new"}])

    for _ in range(2):
        await move(run, topic, there, mode="upsert", keys=["id"])

    found = (await move(run, there, None))["frame"].to_pylist()
    assert sorted((row["id"], row["name"]) for row in found) == [(1, "new"), (2, "two")]


async def test_a_part_of_a_topic_is_named_by_offsets_or_times(run: Run, topic: Place) -> None:
    await put(topic, [{"n": n} for n in range(5)])
    places = await read(run, topic, places=True)
    fourth = places[3]["_timestamp"].isoformat()

    assert [row["n"] for row in await read(run, topic, start={0: 1}, stop={0: 3})] == [1, 2]
    assert [row["n"] for row in await read(run, topic, start={0: 3}, stop={0: 99})] == [3, 4]
    assert [
        row["n"] for row in await read(run, topic, stop="2001-01-01T00:00:00Z", types={"n": "int64"})
    ] == []
    later = await read(run, topic, start=fourth, places=True)
    assert later == [row for row in places if row["_timestamp"] >= places[3]["_timestamp"]]
    with pytest.raises(ToolError, match="holds the offsets 0 to 5, not 77"):
        await read(run, topic, start={0: 77})


async def test_pages_are_small_and_end_where_the_topic_ended_when_they_began(topic: Place) -> None:
    """A producer that never rests would keep a transfer from ending."""
    await put(topic, [{"n": n} for n in range(25)])
    brokers = Recorded(b'{"n": -1}')
    bridge = Bridge()
    cluster = Cluster(bootstrap=topic.url or "")
    said = Topic(name=topic.end["topic"], cluster=cluster, brokers=brokers, bridge=bridge)
    source = KafkaSource(KafkaEnd.model_validate(topic.end), said, "topic", Range(most=10, seconds=10))

    def moved() -> list[int]:
        source.open()
        batches = list(source.batches(4))
        assert max(each.num_rows for each in batches) == 4
        return [n for each in batches for n in each.column("n").to_pylist()]

    assert await asyncio.to_thread(moved) == list(range(25))
    assert [each.most for each in brokers.asked] == [0, 10, 10, 10]


async def test_a_record_that_is_no_row_is_named_by_its_place(run: Run, topic: Place) -> None:
    await put(topic, [{"n": 1}, b"{oops", [1]])

    with pytest.raises(ToolError, match=r"\[0\]@1 does not read as JSON") as failed:
        await read(run, topic)
    with pytest.raises(ToolError, match=r"\[0\]@2 is JSON, and no object"):
        await read(run, topic, start={0: 2})

    assert (failed.value.kind, failed.value.code) == ("validation", "unreadable_record")


async def test_a_column_that_comes_late_is_named_and_not_lost(topic: Place) -> None:
    await put(topic, [{"n": 1}, {"n": 2, "late": 3}])
    cluster = Cluster(bootstrap=topic.url or "")
    said = Topic(name=topic.end["topic"], cluster=cluster, brokers=UserKafka(), bridge=Bridge())
    source = KafkaSource(KafkaEnd.model_validate(topic.end), said, "topic", Range(most=1, seconds=10))

    def moved() -> None:
        source.open()
        list(source.batches(10))

    with pytest.raises(
        ToolError,
        match=r"topic: \[0\]@1 has 'late', which the first records lack; name the columns in `types`",
    ):
        await asyncio.to_thread(moved)


async def test_what_does_not_fit_is_refused(run: Run, tool: Transfer, topic: Place) -> None:
    with pytest.raises(ToolError, match="there is no record in this range, and no column is known"):
        await read(run, topic)
    with pytest.raises(ToolError, match="there is no topic 'gone'"):
        await read(run, topic, topic="gone")
    with pytest.raises(ToolError, match="belongs to Kafka or to the platform"):
        await move(run, None, of(topic, topic="noetl.facts"), ROWS)
    with pytest.raises(ToolError, match="`keys` names 'key'"):
        await move(run, None, of(topic, key_field="key"), ROWS)
    with pytest.raises(ValidationError, match="a kafka target keeps what it has; use `append`"):
        TransferConfig.model_validate({"source": {"kind": "frame"}, "target": topic.end, "mode": "replace"})
    authors = {"target": Secret("target", str(topic.url), provider=DOCUMENT)}
    config = {"source": {"kind": "frame"}, "target": topic.end}
    with pytest.raises(ToolError, match="brokers that stand in the document are not reached"):
        await run(config, input={"rows": ROWS}, credentials=authors)
    with pytest.raises(ToolError, match="this worker has no way to Kafka"):
        await move(runner(Transfer()), topic, None)


async def test_a_cancelled_transfer_leaves_the_brokers(topic: Place) -> None:
    """The clients have closed their connections when the task is told to have ended."""
    began, ended = asyncio.Event(), asyncio.Event()

    class Endless(UserKafka):
        async def drain(self, cluster: Cluster, topic: str, wanted: Range) -> Drained:
            began.set()
            try:
                return await asyncio.Future[Drained]()
            finally:
                ended.set()

    tool = Transfer(brokers=Endless())
    secret = {"source": Secret("source", str(topic.url))}
    config = {"source": topic.end, "target": {"kind": "frame"}}
    running = asyncio.ensure_future(tool.run(call(tool, config, credentials=secret)))
    await began.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert ended.is_set()
    await tool.close()
