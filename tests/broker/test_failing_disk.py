"""A disk that takes bytes and refuses to sync them: nothing is acknowledged that rests on it."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.entries import TransactionChanged
from noetl_stream.broker.journal import read_journal
from noetl_stream.broker.protocol import Fields
from tests.broker.client import RawClient, frame
from tests.commitlog.samples import batch

_SECOND = datetime.timedelta(seconds=1)
_PRODUCER = {"transactional_id": "x", "producer_id": 0, "producer_epoch": 0}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await client.call(Api.METADATA, 4, {"topics": [{"name": "t"}]})
        yield broker


@pytest.fixture
def break_syncs_of() -> Iterator[Callable[[Path], None]]:
    """Puts a pipe in the place of this process's open file: it takes writes, and fdatasync refuses it."""
    pipe = os.pipe()

    def break_syncs_of(path: Path) -> None:
        open_files = Path("/proc/self/fd").iterdir()
        (descriptor,) = (int(at.name) for at in open_files if os.path.realpath(at) == str(path))
        os.dup2(pipe[1], descriptor)

    yield break_syncs_of
    for end in pipe:
        os.close(end)


def _log(tmp_path: Path) -> Path:
    (log,) = tmp_path.glob("logs/t-*/0/*.log")
    return log


def _produce(acks: int, records: bytes, transactional_id: str | None = None) -> Fields:
    topics = [{"name": "t", "partition_data": [{"index": 0, "records": records}]}]
    return {"transactional_id": transactional_id, "acks": acks, "timeout": _SECOND, "topic_data": topics}


async def test_no_produce_with_acks_all_is_acknowledged(
    broker: EmbeddedBroker, tmp_path: Path, break_syncs_of: Callable[[Path], None]
) -> None:
    break_syncs_of(_log(tmp_path))

    async with RawClient(broker.bootstrap) as client, RawClient(broker.bootstrap) as reader:
        client.writer.write(frame(Api.PRODUCE, 8, _produce(-1, batch(b"v"))))
        assert await client.is_closed_by_the_broker()

        wanted = {"name": "t", "partitions": [{"partition_index": 0, "timestamp": -1}]}
        latest = await reader.call(Api.LIST_OFFSETS, 1, {"replica_id": -1, "topics": [wanted]})
        assert latest.topics[0].partitions[0].offset == 0
    assert "check the disk" in str(await asyncio.wait_for(broker.failed, 5))


async def test_no_position_is_acknowledged(
    broker: EmbeddedBroker, tmp_path: Path, break_syncs_of: Callable[[Path], None]
) -> None:
    break_syncs_of(tmp_path / "journal")
    position = {"partition_index": 0, "committed_offset": 1, "committed_metadata": None}
    topics = [{"name": "t", "partitions": [position]}]

    async with RawClient(broker.bootstrap) as client:
        fields = {"group_id": "g", "member_id": "", "topics": topics}
        client.writer.write(frame(Api.OFFSET_COMMIT, 5, fields))

        assert await client.is_closed_by_the_broker()
    await asyncio.wait_for(broker.failed, 5)


async def test_a_transactions_end_is_decided_before_it_is_carried_out(
    broker: EmbeddedBroker, tmp_path: Path, break_syncs_of: Callable[[Path], None]
) -> None:
    """The marker cannot be made durable; the decision already is, for the next start to go on from."""
    async with RawClient(broker.bootstrap) as client:
        await _begin_transaction(client)
        await _add_partition(client)
        break_syncs_of(_log(tmp_path))

        client.writer.write(frame(Api.END_TXN, 1, {**_PRODUCER, "committed": True}))
        assert await client.is_closed_by_the_broker()

    states = [e.state for e in read_journal(tmp_path / "journal") if isinstance(e, TransactionChanged)]
    assert states[-1] == "PrepareCommit"


async def test_a_transactional_batch_needs_its_partition_in_the_transaction(broker: EmbeddedBroker) -> None:
    """Else it would stay open for ever and hold every read_committed reader back."""
    records = batch(b"v", producer_id=0, epoch=0, sequence=0, transactional=True)
    async with RawClient(broker.bootstrap) as client:
        await _begin_transaction(client)
        before = await client.call(Api.PRODUCE, 8, _produce(-1, records, "x"))
        await _add_partition(client)
        after = await client.call(Api.PRODUCE, 8, _produce(-1, records, "x"))

    codes = [response.responses[0].partition_responses[0].error_code for response in (before, after)]
    assert codes == [ErrorCode.invalid_txn_state, ErrorCode.none]


async def _begin_transaction(client: RawClient) -> None:
    begun = await client.call(
        Api.INIT_PRODUCER_ID, 1, {"transactional_id": "x", "transaction_timeout": _SECOND}
    )
    assert (begun.producer_id, begun.producer_epoch) == (0, 0)


async def _add_partition(client: RawClient) -> None:
    fields = {f"v3_and_below_{name}": value for name, value in _PRODUCER.items()}
    topics = [{"name": "t", "partitions": (0,)}]
    await client.call(Api.ADD_PARTITIONS_TO_TXN, 1, {**fields, "v3_and_below_topics": topics})
