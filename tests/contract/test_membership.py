"""Membership as the protocol tells it: who is in a group, who is not, and what each is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.protocol import Fields
from tests.broker.client import RawClient
from tests.broker.raw_member import RawMember
from tests.broker.reading import committed_position
from tests.contract.clients import LIMIT, Kafka, fresh

_NONE = ErrorCode.none


class Party:
    """Members of one group, each on a connection of its own."""

    def __init__(self, kafka: Kafka, opened: AsyncExitStack, topic: str) -> None:
        self._kafka, self._opened = kafka, opened
        self.topic, self.group = topic, fresh("group")

    async def client(self) -> RawClient:
        """A connection to the group's coordinator, which Apache Kafka makes when it is first asked for it."""
        client = await self._opened.enter_async_context(RawClient(self._kafka.bootstrap))
        await client.call(Api.FIND_COORDINATOR, 3, {"key": self.group, "key_type": 0})
        return client

    async def member(self, **words: Any) -> RawMember:
        return RawMember(await self.client(), self.group, **{"topics": (self.topic,), **words})


@pytest.fixture
async def party(kafka: Kafka) -> AsyncIterator[Party]:
    async with AsyncExitStack() as opened:
        yield Party(kafka, opened, await kafka.topic())


async def both_enter(leader: RawMember, other: RawMember) -> None:
    """The second joins a group that the first is in: the first is told to join again, and both get their places."""
    assert await leader.enter() is _NONE
    joining = asyncio.create_task(other.enter())
    async with asyncio.timeout(LIMIT):
        while await leader.heartbeat() is _NONE:
            pass
    assert await leader.enter() is _NONE
    assert await joining is _NONE


async def test_a_member_is_told_of_a_rebalance_by_its_heartbeat(party: Party) -> None:
    first, second = await party.member(), await party.member()
    await both_enter(first, second)

    assert (first.generation, second.generation) == (2, 2)
    assert (await first.heartbeat(), await second.heartbeat()) == (_NONE, _NONE)
    assert await second.leave() is _NONE
    assert await first.heartbeat() is ErrorCode.rebalance_in_progress
    assert await second.heartbeat() is ErrorCode.unknown_member_id


async def test_a_wrong_generation_and_a_stranger_are_refused(party: Party) -> None:
    member = await party.member()
    assert await member.enter() is _NONE
    stale, stranger = replace(member, generation=member.generation - 1), replace(member, member_id="nobody")

    for act in ("heartbeat", "sync"):
        assert await getattr(stale, act)() is ErrorCode.illegal_generation
        assert await getattr(stranger, act)() is ErrorCode.unknown_member_id
    assert await stale.commit(party.topic, 1) is ErrorCode.illegal_generation
    assert await stranger.commit(party.topic, 1) is ErrorCode.unknown_member_id
    assert await stranger.leave() is ErrorCode.unknown_member_id
    assert await member.commit(party.topic, 1) is _NONE


async def test_who_names_no_group_member_commits_only_where_nobody_is(party: Party) -> None:
    """A tool that sets positions must not do so under a running group."""
    tool = await party.member()
    assert await tool.commit(party.topic, 5) is _NONE

    member = await party.member()
    assert await member.enter() is _NONE
    assert await tool.commit(party.topic, 6) is ErrorCode.unknown_member_id
    assert await committed_position(tool.client, party.group, topic=party.topic) == 5


@pytest.mark.parametrize(
    ("version", "code"), [(8, ErrorCode.illegal_generation), (9, ErrorCode.group_id_not_found)]
)
async def test_a_member_of_a_group_that_nobody_knows_cannot_commit(
    party: Party, version: int, code: ErrorCode
) -> None:
    lost = await party.member(member_id="m", generation=3)

    assert await lost.commit(party.topic, 5, version=version) is code


async def test_members_of_an_unknown_group_are_strangers(party: Party) -> None:
    lost = await party.member(member_id="m", generation=3)

    assert await lost.heartbeat() is ErrorCode.unknown_member_id
    assert await lost.sync() is ErrorCode.unknown_member_id
    assert await lost.join() is ErrorCode.unknown_member_id
    assert await lost.leave() is ErrorCode.unknown_member_id


async def test_a_group_without_a_name_takes_no_member(party: Party) -> None:
    assert await replace(await party.member(), group="").join() is ErrorCode.invalid_group_id


async def test_members_must_agree_on_a_protocol(party: Party) -> None:
    member = await party.member()
    assert await member.enter() is _NONE

    other_type = await party.member(protocol_type="connect")
    other_protocol = await party.member(protocol="sticky")
    assert await other_type.join() is ErrorCode.inconsistent_group_protocol
    assert await other_protocol.join() is ErrorCode.inconsistent_group_protocol
    assert await member.sync(protocol="sticky") is ErrorCode.inconsistent_group_protocol
    assert await member.heartbeat() is _NONE


# Static members.


async def test_a_second_process_under_one_instance_id_fences_the_first(party: Party) -> None:
    first, second = await party.member(instance_id="i"), await party.member(instance_id="i")
    assert await first.enter() is _NONE

    assert await second.join() is _NONE

    assert second.generation == first.generation
    assert await first.heartbeat() is ErrorCode.fenced_instance_id
    assert await first.commit(party.topic, 1) is ErrorCode.fenced_instance_id
    assert await first.join() is ErrorCode.fenced_instance_id
    assert await second.heartbeat() is _NONE


async def test_a_static_member_comes_back_to_its_assignment(party: Party) -> None:
    """It says other things than before it was restarted, and nobody else is disturbed."""
    leader, static = await party.member(), await party.member(instance_id="i", said=b"owns much")
    await both_enter(leader, static)

    again = await party.member(instance_id="i", said=b"owns nothing")
    assert await again.enter() is _NONE

    assert (again.generation, again.assignment) == (static.generation, static.assignment)
    assert await leader.heartbeat() is _NONE


async def test_a_static_member_is_removed_by_its_instance_id(party: Party) -> None:
    leader, static = await party.member(), await party.member(instance_id="i")
    await both_enter(leader, static)

    assert await static.leave(by_instance=True) is _NONE

    assert await leader.heartbeat() is ErrorCode.rebalance_in_progress
    assert await static.heartbeat() is ErrorCode.unknown_member_id
    assert await static.leave(by_instance=True) is ErrorCode.unknown_member_id


# Administration.


async def groups_of(client: RawClient, **filters: Any) -> dict[str, str]:
    fields = {"states_filter": (), "types_filter": (), **filters}
    answer = await client.call(Api.LIST_GROUPS, 5, fields)
    assert answer.error_code is _NONE
    return {each.group_id: each.group_state for each in answer.groups}


async def test_groups_are_listed_by_their_state(party: Party) -> None:
    member = await party.member()
    assert await member.enter() is _NONE
    client = await party.client()

    assert (await groups_of(client))[party.group] == "Stable"
    assert party.group in await groups_of(client, states_filter=("Stable", "Empty"))
    assert party.group not in await groups_of(client, states_filter=("Empty",))
    assert party.group in await groups_of(client, types_filter=("classic",))
    assert party.group not in await groups_of(client, types_filter=("share",))
    assert await member.leave() is _NONE
    assert (await groups_of(client, states_filter=("Empty",)))[party.group] == "Empty"


async def test_an_unknown_group_is_described_as_such(party: Party) -> None:
    client = await party.client()
    fields = {"groups": (party.group,), "include_authorized_operations": False}

    [newer] = (await client.call(Api.DESCRIBE_GROUPS, 6, fields)).groups
    [older] = (await client.call(Api.DESCRIBE_GROUPS, 5, fields)).groups

    assert (newer.error_code, newer.group_state) == (ErrorCode.group_id_not_found, "Dead")
    assert (older.error_code, older.group_state) == (_NONE, "Dead")


async def deleted(client: RawClient, group: str) -> ErrorCode:
    [result] = (await client.call(Api.DELETE_GROUPS, 2, {"groups_names": (group,)})).results
    code: ErrorCode = result.error_code
    return code


async def test_only_an_empty_group_is_deleted(party: Party) -> None:
    member, client = await party.member(), await party.client()
    assert await member.enter() is _NONE
    assert await member.commit(party.topic, 4) is _NONE

    assert await deleted(client, party.group) is ErrorCode.non_empty_group
    assert await member.leave() is _NONE
    assert await deleted(client, party.group) is _NONE
    assert await deleted(client, party.group) is ErrorCode.group_id_not_found
    assert await committed_position(client, party.group, topic=party.topic) == -1


async def offsets_deleted(client: RawClient, group: str, topic: str) -> ErrorCode:
    topics = [{"name": topic, "partitions": [{"partition_index": 0}]}]
    answer: Any = await client.call(Api.OFFSET_DELETE, 0, {"group_id": group, "topics": topics})
    if answer.error_code is not _NONE:
        return ErrorCode(answer.error_code)
    return ErrorCode(answer.topics[0].partitions[0].error_code)


async def test_positions_are_deleted_where_nobody_is_subscribed(kafka: Kafka, party: Party) -> None:
    member, client, other = await party.member(), await party.client(), await kafka.topic()
    assert await offsets_deleted(client, party.group, other) is ErrorCode.group_id_not_found
    assert await member.enter() is _NONE
    for topic in (party.topic, other):
        assert await member.commit(topic, 4) is _NONE

    assert await offsets_deleted(client, party.group, party.topic) is ErrorCode.group_subscribed_to_topic
    assert await offsets_deleted(client, party.group, other) is _NONE
    assert await offsets_deleted(client, party.group, fresh("topic")) is ErrorCode.unknown_topic_or_partition

    positions = [await committed_position(client, party.group, topic=each) for each in (party.topic, other)]
    assert positions == [4, -1]
    assert await member.leave() is _NONE
    assert await offsets_deleted(client, party.group, party.topic) is _NONE


async def test_positions_are_fetched_for_many_groups_at_once(party: Party) -> None:
    tool, client = await party.member(), await party.client()
    assert await tool.commit(party.topic, 5) is _NONE
    wanted: Fields = {"member_id": None, "member_epoch": -1, "topics": None}

    groups = [{**wanted, "group_id": party.group}, {**wanted, "group_id": fresh("group")}]
    known, unknown = (
        await client.call(Api.OFFSET_FETCH, 9, {"groups": groups, "require_stable": True})
    ).groups

    [topic] = known.topics
    assert (topic.name, topic.partitions[0].committed_offset) == (party.topic, 5)
    assert (unknown.error_code, unknown.topics) == (_NONE, ())
