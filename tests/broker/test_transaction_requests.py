"""What producers are told, right or wrong, in every version that tells it differently; and what administrators see."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.entries import TransactionChanged
from noetl_stream.broker.journal import read_journal, rewrite_journal
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.commitlog.append_file import AppendFile
from tests.broker.client import RawClient
from tests.broker.raw_producer import RawProducer
from tests.broker.reading import committed_position, committed_values, create_topic

_NONE = ErrorCode.none
_SECOND = datetime.timedelta(seconds=1)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[RawClient]:
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await create_topic(client, 2)
        yield client


@pytest.fixture
async def producer(client: RawClient) -> RawProducer:
    producer = RawProducer(client)
    assert await producer.begin() is _NONE
    return producer


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(0, ErrorCode.invalid_transaction_timeout), (900, _NONE), (901, ErrorCode.invalid_transaction_timeout)],
)
async def test_a_transaction_may_take_fifteen_minutes(
    client: RawClient, seconds: int, code: ErrorCode
) -> None:
    assert await RawProducer(client).begin(timeout=datetime.timedelta(seconds=seconds)) is code


# Writing.


async def test_a_transactional_record_outside_its_transaction_is_refused(producer: RawProducer) -> None:
    """Taken, it would hold back every reader of committed records for ever."""
    assert await producer.send(0, b"before any") is ErrorCode.invalid_txn_state
    assert await producer.add(0) is _NONE
    assert await producer.send(1, b"not added") is ErrorCode.invalid_txn_state
    assert await producer.send(0, b"inside") is _NONE
    assert await producer.end(committed=True) is _NONE

    assert await producer.send(0, b"after it") is ErrorCode.invalid_txn_state
    assert await committed_values(producer.client, 0) == [b"inside"]


async def test_an_open_transaction_takes_no_record_without_it(producer: RawProducer) -> None:
    await producer.add(0)

    assert await producer.send(0, b"plain", transactional=False) is ErrorCode.invalid_txn_state


async def test_an_unknown_producer_takes_part_in_nothing(client: RawClient) -> None:
    stranger = RawProducer(client, identity=(77, 0))

    for answer in (
        stranger.add(0),
        stranger.send(0, b"v"),
        stranger.add_group("g"),
        stranger.commit_offset("g", 1),
        stranger.end(committed=True),
    ):
        assert await answer is ErrorCode.invalid_producer_id_mapping


# Fencing.


@pytest.mark.parametrize(
    ("version", "code"), [(1, ErrorCode.invalid_producer_epoch), (3, ErrorCode.producer_fenced)]
)
async def test_a_zombie_is_told_that_it_is_one(producer: RawProducer, version: int, code: ErrorCode) -> None:
    zombie = replace(producer, version=version)
    await zombie.add(0)
    assert await zombie.send(0, b"of the zombie") is _NONE

    assert await producer.begin() is _NONE  # it aborts what the zombie has open

    assert await zombie.send(0, b"too late") is ErrorCode.invalid_producer_epoch
    assert await zombie.add(0) is code
    assert await zombie.commit_offset("g", 1) is code
    assert await zombie.end(committed=True) is code
    assert await committed_values(producer.client, 0) == []
    await producer.add(0)
    assert await producer.send(0, b"of the successor") is _NONE
    assert await producer.end(committed=True) is _NONE
    assert await committed_values(producer.client, 0) == [b"of the successor"]


@pytest.mark.parametrize(
    ("version", "code"), [(3, ErrorCode.invalid_producer_epoch), (4, ErrorCode.producer_fenced)]
)
async def test_a_zombie_cannot_renew_itself(producer: RawProducer, version: int, code: ErrorCode) -> None:
    zombie = replace(producer, version=version)
    assert await producer.begin() is _NONE

    assert await zombie.begin(former=zombie.identity) is code

    await producer.add(0)
    assert await producer.send(0, b"undisturbed") is _NONE


async def test_an_idempotent_producer_gets_a_new_id_whatever_it_had(client: RawClient) -> None:
    fields = {"transactional_id": None, "transaction_timeout": datetime.timedelta(0)}
    first = await client.call(Api.INIT_PRODUCER_ID, 4, {**fields, "producer_id": -1, "producer_epoch": -1})

    again = {"producer_id": first.producer_id, "producer_epoch": 7}
    second = await client.call(Api.INIT_PRODUCER_ID, 4, {**fields, **again})

    assert (second.producer_id > first.producer_id, second.producer_epoch) == (True, 0)


@pytest.mark.parametrize("ongoing", [False, True])
async def test_a_producer_that_has_used_up_its_epochs_gets_another_id(tmp_path: Path, ongoing: bool) -> None:
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await create_topic(client, 1)
        await RawProducer(client).begin()
    journal = tmp_path / "journal"
    rewrite_journal(
        journal,
        [
            replace(entry, epoch=32766) if isinstance(entry, TransactionChanged) else entry
            for entry in read_journal(journal)
        ],
    )

    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        spent = RawProducer(client, identity=(0, 32766))
        if ongoing:
            await spent.add(0)
            assert await spent.send(0, b"never ended") is _NONE
        fresh = RawProducer(client)
        assert await fresh.begin() is _NONE

        assert (fresh.identity[0] > 0, fresh.identity[1]) == (True, 0)
        assert await spent.end(committed=True) is ErrorCode.invalid_producer_id_mapping
        await fresh.add(0)
        assert await fresh.send(0, b"of the fresh one") is _NONE
        assert await fresh.end(committed=True) is _NONE
        assert await committed_values(client, 0) == [b"of the fresh one"]


# Ending.


async def test_saying_the_end_again_changes_nothing_and_the_other_end_is_refused(
    producer: RawProducer,
) -> None:
    assert await producer.end(committed=True) is ErrorCode.invalid_txn_state
    await producer.add(0)
    await producer.send(0, b"v")

    assert await producer.end(committed=True) is _NONE
    assert await producer.end(committed=True) is _NONE
    assert await producer.end(committed=False) is ErrorCode.invalid_txn_state
    assert await committed_values(producer.client, 0) == [b"v"]


async def test_positions_need_a_transaction_and_stand_when_it_commits(producer: RawProducer) -> None:
    assert await producer.commit_offset("g", 3) is ErrorCode.invalid_txn_state
    assert await producer.add_group("g") is _NONE
    assert await producer.commit_offset("g", 3) is _NONE
    assert await producer.commit_offset("g", 3, partition=9) is ErrorCode.unknown_topic_or_partition

    assert await producer.end(committed=True) is _NONE
    assert await committed_position(producer.client, "g") == 3


async def test_positions_in_a_deleted_topic_are_gone_with_it_though_a_transaction_was_to_commit_them(
    tmp_path: Path,
) -> None:
    """A topic of that name made meanwhile is another one; so is its number of partitions."""
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await create_topic(client, 2)
        await create_topic(client, 1, "kept")
        producer, kept = RawProducer(client), RawProducer(client, topic="kept")
        await producer.begin()
        kept.identity = producer.identity
        await producer.add(1)
        await producer.send(1, b"v")
        await producer.add_group("g")
        await producer.commit_offset("g", 3)
        await kept.commit_offset("g", 4)
        await _recreate(client, partitions=1)

        assert await producer.end(committed=True) is _NONE
        assert await committed_position(client, "g") == -1
        assert await committed_position(client, "g", topic="kept") == 4
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        assert await committed_position(client, "g") == -1


async def _recreate(client: RawClient, partitions: int) -> None:
    deleted = await client.call(Api.DELETE_TOPICS, 5, {"topic_names": ("t",), "timeout": _SECOND})
    assert deleted.responses[0].error_code is _NONE
    await create_topic(client, partitions)


async def test_positions_of_who_is_in_no_group_are_refused(producer: RawProducer) -> None:
    await producer.add_group("g")

    code = await producer.commit_offset("g", 3, member_id="nobody", generation=1)

    assert code is ErrorCode.illegal_generation


@pytest.mark.slow
async def test_an_end_that_the_disk_had_no_room_for_is_finished_without_being_asked(
    producer: RawProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision stands; the marker follows once there is room, and nothing hangs."""
    append, full = AppendFile.append, [True]

    def append_if_room(file: AppendFile, chunk: bytes | bytearray) -> int:
        if full[0] and file.path.suffix == ".log":
            raise OSError(28, "No space left on device")
        return append(file, chunk)

    await producer.add(0)
    await producer.send(0, b"v")
    monkeypatch.setattr(AppendFile, "append", append_if_room)
    producer_id, epoch = producer.identity
    fields = {"transactional_id": "x", "producer_id": producer_id, "producer_epoch": epoch, "committed": True}
    refused = await producer.client.call(Api.END_TXN, 3, fields)
    full[0] = False
    assert refused.error_code is ErrorCode.coordinator_not_available

    async with RawClient(producer.client.bootstrap) as client, asyncio.timeout(10):
        while await committed_values(client, 0) != [b"v"]:
            pass


# Idle ones.


async def test_a_transactional_id_that_nobody_uses_is_forgotten(tmp_path: Path) -> None:
    settings = BrokerSettings(transactional_id_expiration=0.0, expiry_interval=0.05)
    async with EmbeddedBroker(tmp_path, settings=settings) as broker, RawClient(broker.bootstrap) as client:
        await create_topic(client, 1)
        busy, idle = RawProducer(client, "busy"), RawProducer(client, "idle")
        await busy.begin()
        await busy.add(0)
        await idle.begin()
        async with asyncio.timeout(10):
            while "idle" in await _listed(client):
                pass

        former = idle.identity
        assert await idle.add(0) is ErrorCode.invalid_producer_id_mapping
        assert await idle.begin(former=former) is _NONE
        assert idle.identity[0] > former[0]
        assert await busy.send(0, b"v") is _NONE


# Administration.


async def test_transactions_are_listed_and_described(producer: RawProducer) -> None:
    client = producer.client
    await RawProducer(client, "idle").begin()
    await producer.add(0, 1)

    assert await _listed(client) == {"x": "Ongoing", "idle": "Empty"}
    assert await _listed(client, state_filters=("Ongoing",)) == {"x": "Ongoing"}
    assert await _listed(client, producer_id_filters=(producer.identity[0],)) == {"x": "Ongoing"}
    assert await _listed(client, duration_filter=60_000) == {}
    assert await _listed(client, transactional_id_pattern="id.*") == {"idle": "Empty"}
    x, unknown = (
        await client.call(Api.DESCRIBE_TRANSACTIONS, 0, {"transactional_ids": ("x", "y")})
    ).transaction_states
    assert (x.transaction_state, x.producer_id, x.producer_epoch) == ("Ongoing", *producer.identity)
    assert [(topic.topic, topic.partitions) for topic in x.topics] == [("t", (0, 1))]
    assert abs(datetime.datetime.now(datetime.UTC) - x.transaction_start_time) < datetime.timedelta(
        seconds=60
    )
    assert unknown.error_code is ErrorCode.transactional_id_not_found


async def _listed(client: RawClient, **filters: Any) -> dict[str, str]:
    fields = {"state_filters": (), "producer_id_filters": (), "duration_filter": -1}
    answer = await client.call(
        Api.LIST_TRANSACTIONS, 2, {**fields, "transactional_id_pattern": None, **filters}
    )
    return {each.transactional_id: each.transaction_state for each in answer.transaction_states}


async def test_a_filter_that_names_no_state_is_reported(client: RawClient) -> None:
    fields = {"state_filters": ("Ongoing", "Sleeping"), "producer_id_filters": ()}

    answer = await client.call(Api.LIST_TRANSACTIONS, 0, fields)

    assert answer.unknown_state_filters == ("Sleeping",)


async def test_the_producers_of_a_partition_are_described(producer: RawProducer) -> None:
    await producer.add(0)
    await producer.send(0, b"a", b"b")
    await producer.end(committed=True)
    await producer.add(0)
    await producer.send(0, b"c")

    fields = {"topics": [{"name": "t", "partition_indexes": (0, 9)}]}
    [topic] = (await producer.client.call(Api.DESCRIBE_PRODUCERS, 0, fields)).topics

    found, missing = topic.partitions
    [active] = found.active_producers
    assert (active.producer_id, active.producer_epoch) == producer.identity
    assert (active.last_sequence, active.current_txn_start_offset) == (2, 3)
    assert missing.error_code is ErrorCode.unknown_topic_or_partition
