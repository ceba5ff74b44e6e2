"""What a restart of the broker leaves of a group: its positions, and members that must join again."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from tests.broker.client import RawClient
from tests.broker.raw_member import RawMember
from tests.broker.reading import committed_position, create_topic

_TEN_SECONDS = datetime.timedelta(seconds=10)


@pytest.mark.parametrize("instance_id", [None, "i"], ids=["dynamic", "static"])
async def test_a_member_joins_again_and_reads_on_from_its_position(
    tmp_path: Path, instance_id: str | None
) -> None:
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await create_topic(client, 1)
        member = RawMember(client, "g", ("t",), instance_id)
        assert await member.enter() is ErrorCode.none
        assert await member.commit("t", 5) is ErrorCode.none

    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        former = replace(member, client=client)
        assert await _listed(client) == [("g", "consumer", "Empty")]
        assert await former.heartbeat() is ErrorCode.unknown_member_id
        assert await former.commit("t", 4) is ErrorCode.unknown_member_id
        again = RawMember(client, "g", ("t",), instance_id)
        assert await again.enter() is ErrorCode.none

        zombie_told = ErrorCode.unknown_member_id if instance_id is None else ErrorCode.fenced_instance_id
        assert await former.commit("t", 4) is zombie_told
        assert await committed_position(client, "g") == 5
        assert await _listed(client) == [("g", "consumer", "Stable")]


async def _listed(client: RawClient) -> list[tuple[str, str, str]]:
    answer = await client.call(Api.LIST_GROUPS, 5, {"states_filter": (), "types_filter": ()})
    return [(group.group_id, group.protocol_type, group.group_state) for group in answer.groups]


async def test_a_commit_to_a_deleted_topic_is_refused(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await create_topic(client, 1)
        tool = RawMember(client, "g", ("t",))
        assert await tool.commit("t", 5) is ErrorCode.none
        await client.call(Api.DELETE_TOPICS, 5, {"topic_names": ("t",), "timeout": _TEN_SECONDS})

        assert await tool.commit("t", 6) is ErrorCode.unknown_topic_or_partition
        assert await committed_position(client, "g") == -1
