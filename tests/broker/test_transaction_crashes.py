"""A broker that is killed anywhere in a transaction: it is seen whole or not at all, and positions agree."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.protocol import Fields
from tests.broker.client import RawClient
from tests.commitlog.samples import batch, values

pytestmark = pytest.mark.slow

_DYING = Path(__file__).with_name("dying_broker.py")
_SECOND = datetime.timedelta(seconds=1)
_PARTITIONS, _GROUPS = 3, ("g", "h")
_FIRST_WRITES = 5
"""The producer's next epoch, its partitions and its records: not all of them need a crash of their own."""


@contextmanager
def _dying_broker(data: Path, writes: int) -> Iterator[str]:
    command = [sys.executable, str(_DYING), str(data), "0", str(writes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["bootstrap"]
        process.kill()


class _Producer:
    """A transactional producer that says one thing after the other."""

    def __init__(self, client: RawClient, transactional_id: str = "x") -> None:
        self._client, self._transactional_id = client, transactional_id
        self._producer: dict[str, Any] = {}

    async def begin(self) -> None:
        fields = {"transactional_id": self._transactional_id, "transaction_timeout": 60 * _SECOND}
        more = {"producer_id": -1, "producer_epoch": -1}
        answer = await self._client.call(Api.INIT_PRODUCER_ID, 4, {**fields, **more})
        assert answer.error_code is ErrorCode.none
        self._producer = {
            "transactional_id": self._transactional_id,
            "producer_id": answer.producer_id,
            "producer_epoch": answer.producer_epoch,
        }

    async def write(self, value: bytes, position: int) -> None:
        """A record in each partition, and a position in each group."""
        partitions = range(_PARTITIONS)
        await self._call(Api.ADD_PARTITIONS_TO_TXN, 3, _v3(self._producer, partitions))
        for partition in partitions:
            await self._call(Api.PRODUCE, 9, self._produce(partition, value))
        committed = {"partition_index": 0, "committed_offset": position, "committed_metadata": None}
        topics = [{"name": "t", "partitions": [committed]}]
        for group in _GROUPS:
            await self._call(Api.ADD_OFFSETS_TO_TXN, 3, {**self._producer, "group_id": group})
            fields = {**self._producer, "group_id": group, "topics": topics}
            await self._call(Api.TXN_OFFSET_COMMIT, 3, fields)

    async def end(self, *, committed: bool) -> None:
        await self._call(Api.END_TXN, 3, {**self._producer, "committed": committed})

    def _produce(self, partition: int, value: bytes) -> Fields:
        identity = {"producer_id": self._producer["producer_id"], "epoch": self._producer["producer_epoch"]}
        now = int(time.time() * 1000)
        records = batch(value, sequence=0, transactional=True, timestamp=now, **identity)
        topics = [{"name": "t", "partition_data": [{"index": partition, "records": records}]}]
        return {"transactional_id": "x", "acks": -1, "timeout": _SECOND, "topic_data": topics}

    async def _call(self, api: Api, version: int, fields: Fields) -> None:
        answer = await self._client.call(api, version, fields)
        assert "error_code=<ErrorCode.none: 0>" in repr(answer)


def _v3(producer: dict[str, Any], partitions: range) -> Fields:
    names = {f"v3_and_below_{name}": value for name, value in producer.items()}
    return {**names, "v3_and_below_topics": [{"name": "t", "partitions": tuple(partitions)}]}


async def _committed_records(client: RawClient, partition: int) -> list[bytes]:
    """As a client reads them: up to the last stable offset, without those of aborted transactions."""
    at = {"partition": partition, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
    fields = {
        "max_wait": datetime.timedelta(0),
        "min_bytes": 0,
        "isolation_level": 1,
        "topics": [{"topic": "t", "partitions": [at]}],
        "forgotten_topics_data": [],
    }
    [topic] = (await client.call(Api.FETCH, 12, fields)).responses
    [answer] = topic.partitions
    aborted = {each.first_offset for each in answer.aborted_transactions or ()}
    return [
        value for offset, value in values(answer.records or b"") if value in _SENT and offset not in aborted
    ]


_SENT = (b"inside", b"of the next")


async def _position(client: RawClient, group: str) -> int:
    fields = {"group_id": group, "topics": [{"name": "t", "partition_indexes": (0,)}], "require_stable": True}
    [topic] = (await client.call(Api.OFFSET_FETCH, 7, fields)).topics
    [partition] = topic.partitions
    assert partition.error_code is ErrorCode.none
    offset: int = partition.committed_offset
    return offset


@pytest.mark.timeout(180)
@pytest.mark.parametrize("committed", [True, False], ids=["commit", "abort"])
async def test_a_transaction_is_whole_or_not_at_all_wherever_the_broker_dies(
    tmp_path: Path, committed: bool
) -> None:
    """Killed after every write in turn: between the decision and each marker, and between markers and positions."""
    outcomes: list[tuple[bool, tuple[list[bytes], list[int]]]] = []
    while not outcomes or not outcomes[-1][0]:
        data = tmp_path / str(len(outcomes))
        acknowledged = await _die_in_a_transaction(data, _FIRST_WRITES + len(outcomes), committed=committed)
        outcomes.append((acknowledged, await _what_stands(data)))

    whole = ([b"inside"] * _PARTITIONS, [5] * len(_GROUPS))
    nothing: tuple[list[bytes], list[int]] = ([], [-1] * len(_GROUPS))
    assert all(stands in (whole, nothing) for _, stands in outcomes)
    assert all(stands == (whole if committed else nothing) for done, stands in outcomes if done)
    # Once the end was acknowledged before the broker could die. It had died before the decision and, often, after it.
    decided = [stands == whole for done, stands in outcomes if not done]
    assert decided.count(False) > 2
    assert not committed or decided.count(True) > _PARTITIONS + len(_GROUPS)


async def _die_in_a_transaction(data: Path, writes: int, *, committed: bool) -> bool:
    """Whether the end was acknowledged before the broker died."""
    async with EmbeddedBroker(data) as broker, RawClient(broker.bootstrap) as client:
        topic = {"name": "t", "num_partitions": _PARTITIONS, "replication_factor": 1}
        fields = {"topics": [{**topic, "assignments": [], "configs": []}], "timeout": _SECOND}
        await client.call(Api.CREATE_TOPICS, 5, {**fields, "validate_only": False})
        await _Producer(client).begin()
    with _dying_broker(data, writes) as bootstrap:
        try:
            async with RawClient(bootstrap) as client:
                producer = _Producer(client)
                await producer.begin()
                await producer.write(b"inside", 5)
                await producer.end(committed=committed)
        except (EOFError, ConnectionError):
            return False
    return True


async def _what_stands(data: Path) -> tuple[list[bytes], list[int]]:
    """The committed records and positions, after the next instance of the producer has taken over."""
    async with EmbeddedBroker(data) as broker, RawClient(broker.bootstrap) as client:
        successor = _Producer(client)
        await successor.begin()
        records = [
            value for partition in range(_PARTITIONS) for value in await _committed_records(client, partition)
        ]
        positions = [await _position(client, group) for group in _GROUPS]
        await successor.write(b"of the next", 9)
        await successor.end(committed=True)
        for partition in range(_PARTITIONS):  # nothing hangs
            assert (await _committed_records(client, partition))[-1] == b"of the next"
        return records, positions
