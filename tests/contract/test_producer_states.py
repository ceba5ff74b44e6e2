"""Transactions as the protocol tells them: what a producer may say when, and what a zombie is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from tests.broker.client import RawClient
from tests.broker.raw_member import RawMember
from tests.broker.raw_producer import RawProducer
from tests.broker.reading import committed_position, committed_values
from tests.contract.clients import Kafka, eventually, fresh

_NONE = ErrorCode.none


@pytest.fixture
async def client(kafka: Kafka) -> AsyncIterator[RawClient]:
    async with RawClient(kafka.bootstrap) as client:
        yield client


@pytest.fixture
async def producer(kafka: Kafka, client: RawClient) -> RawProducer:
    """One that has begun. Apache Kafka makes a coordinator when it is first asked for it."""
    producer = RawProducer(client, fresh("transaction"), await kafka.topic(2))
    for key, key_type in ((producer.transactional_id, 1), ("any", 0)):
        await client.call(Api.FIND_COORDINATOR, 3, {"key": key, "key_type": key_type})
    assert await producer.begin() is _NONE
    return producer


async def reads(producer: RawProducer, *committed: bytes) -> None:
    """Wait until these are all the committed records; Apache Kafka writes its markers after it has answered."""

    async def stands() -> bool:
        return await committed_values(producer.client, 0, producer.topic) == [*committed]

    await eventually(stands)


async def test_a_transaction_may_not_take_for_ever(producer: RawProducer) -> None:
    assert await producer.begin(timeout=timedelta(seconds=901)) is ErrorCode.invalid_transaction_timeout


async def test_a_record_outside_its_transaction_is_refused(producer: RawProducer) -> None:
    """Taken, it would hold back every reader of committed records for ever."""
    assert await producer.send(0, b"before any") is ErrorCode.invalid_txn_state
    assert await producer.add(0) is _NONE
    assert await producer.send(1, b"not added") is ErrorCode.invalid_txn_state
    assert await producer.send(0, b"inside") is _NONE
    assert await producer.end(committed=True) is _NONE

    await reads(producer, b"inside")


async def test_the_end_may_be_said_again_but_not_otherwise(producer: RawProducer) -> None:
    assert await producer.end(committed=True) is ErrorCode.invalid_txn_state
    await producer.add(0)
    assert await producer.end(committed=True) is _NONE
    assert await producer.end(committed=True) is _NONE
    assert await producer.end(committed=False) is ErrorCode.invalid_txn_state


@pytest.mark.parametrize(
    ("version", "code"), [(1, ErrorCode.invalid_producer_epoch), (3, ErrorCode.producer_fenced)]
)
async def test_a_zombie_is_told_that_it_is_one(producer: RawProducer, version: int, code: ErrorCode) -> None:
    zombie = replace(producer, version=version)
    await zombie.add(0)
    assert await zombie.send(0, b"of the zombie") is _NONE

    assert await producer.begin() is _NONE

    assert await zombie.send(0, b"too late") is ErrorCode.invalid_producer_epoch
    assert await zombie.add(0) is code
    assert await zombie.end(committed=True) is code
    await producer.add(0)
    assert await producer.send(0, b"of the successor") is _NONE
    assert await producer.end(committed=True) is _NONE
    await reads(producer, b"of the successor")


async def test_an_unknown_producer_has_no_transaction(producer: RawProducer) -> None:
    stranger = replace(producer, identity=(10**9, 0))

    assert await stranger.add(0) is ErrorCode.invalid_producer_id_mapping
    assert await stranger.end(committed=True) is ErrorCode.invalid_producer_id_mapping


async def test_a_producer_renews_its_epoch_and_may_ask_for_that_again(producer: RawProducer) -> None:
    """The answer may be lost; asking twice must not fence it from itself (KIP-360)."""
    producer_id, epoch = former = producer.identity

    for _ in range(2):
        assert await producer.begin(former=former) is _NONE
        assert producer.identity == (producer_id, epoch + 1)


@pytest.mark.parametrize(
    ("version", "code"), [(3, ErrorCode.invalid_producer_epoch), (4, ErrorCode.producer_fenced)]
)
async def test_a_zombie_cannot_renew_itself(producer: RawProducer, version: int, code: ErrorCode) -> None:
    zombie = replace(producer, version=version)
    assert await producer.begin() is _NONE

    assert await zombie.begin(former=zombie.identity) is code


async def test_positions_in_a_transaction_are_fenced_by_their_generation(producer: RawProducer) -> None:
    """A zombie of the group, whose transaction is sound, must not move what its successor reads (KIP-447)."""
    client, group = producer.client, fresh("group")
    member = RawMember(client, group, (producer.topic,))
    assert await member.enter() is _NONE
    await producer.add_group(group)

    codes = [
        await producer.commit_offset(group, offset, member_id=member_id, generation=generation)
        for offset, member_id, generation in (
            (3, member.member_id, member.generation - 1),
            (3, "nobody", member.generation),
            (4, member.member_id, member.generation),
        )
    ]
    assert codes == [ErrorCode.illegal_generation, ErrorCode.unknown_member_id, _NONE]
    assert await producer.end(committed=True) is _NONE

    assert await committed_position(client, group, topic=producer.topic) == 4


async def test_a_position_that_may_still_move_is_not_stable(producer: RawProducer) -> None:
    client, group = producer.client, fresh("group")
    await producer.add_group(group)
    assert await producer.commit_offset(group, 4) is _NONE
    wanted = {"group_id": group, "topics": [{"name": producer.topic, "partition_indexes": (0,)}]}

    [pending] = (await client.call(Api.OFFSET_FETCH, 7, {**wanted, "require_stable": True})).topics
    [settled] = (await client.call(Api.OFFSET_FETCH, 7, {**wanted, "require_stable": False})).topics

    assert pending.partitions[0].error_code is ErrorCode.unstable_offset_commit
    assert (settled.partitions[0].error_code, settled.partitions[0].committed_offset) == (_NONE, -1)


async def test_an_open_transaction_is_listed_and_described(producer: RawProducer) -> None:
    client, name = producer.client, producer.transactional_id
    await producer.add(0, 1)
    await producer.send(0, b"a", b"b")

    states = {"state_filters": ("Ongoing",), "producer_id_filters": (producer.identity[0],)}
    listed = (await client.call(Api.LIST_TRANSACTIONS, 0, states)).transaction_states
    described, unknown = (
        await client.call(Api.DESCRIBE_TRANSACTIONS, 0, {"transactional_ids": (name, fresh("transaction"))})
    ).transaction_states
    places = {"topics": [{"name": producer.topic, "partition_indexes": (0,)}]}
    [topic] = (await client.call(Api.DESCRIBE_PRODUCERS, 0, places)).topics

    assert [(each.transactional_id, each.transaction_state) for each in listed] == [(name, "Ongoing")]
    assert (described.transaction_state, described.producer_id) == ("Ongoing", producer.identity[0])
    assert [(each.topic, sorted(each.partitions)) for each in described.topics] == [(producer.topic, [0, 1])]
    assert unknown.error_code is ErrorCode.transactional_id_not_found
    [active] = topic.partitions[0].active_producers
    assert (active.last_sequence, active.current_txn_start_offset) == (1, 0)
