"""The requests of administrators about groups: describe, list and delete them, and delete their positions."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.group import Group, GroupState
from noetl_stream.broker.groups import Groups
from noetl_stream.broker.offsets import Offsets, TopicPartition
from noetl_stream.broker.protocol import Fields, Request, outcome
from noetl_stream.broker.subscription import CONSUMER
from noetl_stream.broker.topics import Topics
from noetl_stream.commitlog.refusal import Refused

_KNOWS_GROUP_ID_NOT_FOUND = 6
_CLASSIC = "classic"


class GroupAdmin:
    """Answers DescribeGroups, ListGroups, DeleteGroups and OffsetDelete."""

    def __init__(self, groups: Groups, offsets: Offsets, topics: Topics) -> None:
        self._groups, self._offsets, self._topics = groups, offsets, topics

    async def describe(self, request: Request) -> Fields:
        says_unknown = request.version >= _KNOWS_GROUP_ID_NOT_FOUND
        return {
            "groups": [
                self._description(group_id, says_unknown=says_unknown) for group_id in request.body.groups
            ]
        }

    def _description(self, group_id: str, *, says_unknown: bool) -> Fields:
        group, state = self._groups.find(group_id), self._groups.state(group_id)
        unknown = says_unknown and state is GroupState.DEAD
        return {
            "error_code": ErrorCode.group_id_not_found if unknown else ErrorCode.none,
            "error_message": f"Group {group_id} not found." if unknown else None,
            "group_id": group_id,
            "group_state": state,
            "protocol_type": self._groups.protocol_type(group_id),
            "protocol_data": group.protocol if group is not None and state is GroupState.STABLE else "",
            "members": _members(group) if group is not None else [],
        }

    async def list(self, request: Request) -> Fields:
        states = {state.lower() for state in getattr(request.body, "states_filter", ())}
        types = {kind.lower() for kind in getattr(request.body, "types_filter", ())}
        return {
            "error_code": ErrorCode.none,
            "groups": [
                {
                    "group_id": group_id,
                    "protocol_type": self._groups.protocol_type(group_id),
                    "group_state": self._groups.state(group_id),
                    "group_type": _CLASSIC,
                }
                for group_id in self._groups
                if (not states or self._groups.state(group_id).lower() in states)
                and (not types or _CLASSIC in types)
            ],
        }

    async def delete(self, request: Request) -> Fields:
        results = []
        for group_id in request.body.groups_names:
            code, _ = await outcome(self._groups.delete(group_id))
            results.append({"group_id": group_id, "error_code": code})
        return {"results": results}

    async def delete_offsets(self, request: Request) -> Fields:
        """Positions of topics that no member is subscribed to (KIP-496)."""
        body = request.body
        state = self._groups.state(body.group_id)
        in_use = state is not GroupState.EMPTY
        if state is GroupState.DEAD:
            return {"error_code": ErrorCode.group_id_not_found, "topics": []}
        if in_use and self._groups.protocol_type(body.group_id) != CONSUMER:
            return {"error_code": ErrorCode.non_empty_group, "topics": []}
        places = [
            TopicPartition(topic.name, at.partition_index) for topic in body.topics for at in topic.partitions
        ]
        subscribed = self._groups.subscribed(body.group_id)
        codes = {at: self._refusal(at, subscribed) for at in places}
        gone = [at for at in places if codes[at] is ErrorCode.none and at in self._offsets.of(body.group_id)]
        code, _ = await outcome(self._forget(body.group_id, gone))
        return {"error_code": code, "topics": [] if code else _outcomes(body.topics, codes)}

    async def _forget(self, group_id: str, places: Collection[TopicPartition]) -> None:
        if places:
            await self._offsets.forget_positions(group_id, places)

    def _refusal(self, at: TopicPartition, subscribed: Set[str] | None) -> ErrorCode:
        try:
            self._topics.partition(*at)
        except Refused as refused:
            return refused.code
        if subscribed is None or at.topic in subscribed:
            return ErrorCode.group_subscribed_to_topic
        return ErrorCode.none


def _outcomes(topics: Any, codes: dict[TopicPartition, ErrorCode]) -> list[Fields]:
    return [
        {
            "name": topic.name,
            "partitions": [
                {
                    "partition_index": at.partition_index,
                    "error_code": codes[TopicPartition(topic.name, at.partition_index)],
                }
                for at in topic.partitions
            ],
        }
        for topic in topics
    ]


def _members(group: Group) -> list[Fields]:
    """What was agreed is told only while it stands."""
    agreed = group.state is GroupState.STABLE
    return [
        {
            "member_id": member.member_id,
            "group_instance_id": member.request.instance_id,
            "client_id": member.request.client_id,
            "client_host": f"/{member.request.client_host}",
            "member_metadata": member.request.protocols.get(group.protocol, b"") if agreed else b"",
            "member_assignment": member.assignment if agreed else b"",
        }
        for member in group.members
    ]
