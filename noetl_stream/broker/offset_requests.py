"""The requests about groups' positions: OffsetCommit and OffsetFetch."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from kio.schema.errors import ErrorCode

from noetl_stream.broker.groups import Groups
from noetl_stream.broker.offsets import MAX_METADATA_BYTES, Offsets, Position, TopicPartition
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transactions import Transactions
from noetl_stream.commitlog.refusal import Refused, storing

_FETCHES_IN_BATCHES = 8
_KNOWS_GROUP_ID_NOT_FOUND = 9
_NAMES_TOPICS_BY_ID = 10
_NO_POSITION = Position(-1, "")


class OffsetRequests:
    """Answers OffsetCommit and OffsetFetch."""

    def __init__(self, topics: Topics, groups: Groups, offsets: Offsets, transactions: Transactions) -> None:
        self._topics, self._groups = topics, groups
        self._offsets, self._transactions = offsets, transactions

    async def commit(self, request: Request) -> Fields:
        body = request.body
        positions, outcomes = read_positions(body, self._topics, self._refusal(request))
        try:
            if positions:
                # Clients that are told so ask again, until there is room.
                with storing(ErrorCode.coordinator_not_available):
                    await self._offsets.commit(body.group_id, positions)
        except Refused as refused:
            _, outcomes = read_positions(body, self._topics, refused.code)
        return {"topics": outcomes}

    def _refusal(self, request: Request) -> ErrorCode:
        """Older clients are not told that the group is unknown, but that their generation is."""
        body = request.body
        generation, instance_id = body.generation_id_or_member_epoch, getattr(body, "group_instance_id", None)
        try:
            self._groups.check_commit(body.group_id, body.member_id, instance_id, generation)
        except Refused as refused:
            unknown = refused.code is ErrorCode.group_id_not_found
            older = request.version < _KNOWS_GROUP_ID_NOT_FOUND
            return ErrorCode.illegal_generation if unknown and older else refused.code
        return ErrorCode.none

    async def fetch(self, request: Request) -> Fields:
        body = request.body
        stable_only, by_id = getattr(body, "require_stable", False), request.version >= _NAMES_TOPICS_BY_ID
        groups = [
            {
                "group_id": wanted.group_id,
                "error_code": ErrorCode.none,
                "topics": [
                    self._positions(wanted.group_id, topic, stable_only=stable_only)
                    for topic in self._wanted(wanted, by_id=by_id)
                ],
            }
            for wanted in (body.groups if request.version >= _FETCHES_IN_BATCHES else [body])
        ]
        return {"groups": groups} if request.version >= _FETCHES_IN_BATCHES else groups[0]

    def _wanted(self, wanted: Any, *, by_id: bool) -> list[_Wanted]:
        """The topics asked for; where none is named, all that have a position (and an id, if they go by it)."""
        if wanted.topics is not None:
            return [self._resolved(topic) for topic in wanted.topics]
        indexes: dict[str, list[int]] = {}
        for topic, partition in self._offsets.of(wanted.group_id):
            indexes.setdefault(topic, []).append(partition)
        ids = {topic.name: topic.id for topic in self._topics}
        return [
            _Wanted(name, ids.get(name), partitions)
            for name, partitions in indexes.items()
            if name in ids or not by_id
        ]

    def _resolved(self, topic: Any) -> _Wanted:
        topic_id = getattr(topic, "topic_id", None)
        try:
            return _Wanted(topic_name(topic, self._topics), topic_id, topic.partition_indexes)
        except Refused as refused:
            return _Wanted(None, topic_id, topic.partition_indexes, refused.code)

    def _positions(self, group: str, topic: _Wanted, *, stable_only: bool) -> Fields:
        return {
            "name": topic.name,
            "topic_id": topic.id,
            "partitions": [
                self._position(group, topic, index, stable_only=stable_only) for index in topic.indexes
            ],
        }

    def _position(self, group: str, topic: _Wanted, index: int, *, stable_only: bool) -> Fields:
        position, code = _NO_POSITION, topic.refusal
        if topic.name is not None:
            at = TopicPartition(topic.name, index)
            unstable = stable_only and self._transactions.has_pending_offset(group, at)
            code = ErrorCode.unstable_offset_commit if unstable else ErrorCode.none
            position = _NO_POSITION if unstable else self._offsets.of(group).get(at, _NO_POSITION)
        return {
            "partition_index": index,
            "committed_offset": position.offset,
            "committed_leader_epoch": -1,
            "metadata": position.metadata,
            "error_code": code,
        }


class _Wanted(NamedTuple):
    """A topic whose positions are asked for, by name or by id; `refusal` if nobody knows the id."""

    name: str | None
    id: uuid.UUID | None
    indexes: Sequence[int]
    refusal: ErrorCode = ErrorCode.none


def topic_name(topic: Any, topics: Topics) -> str:
    """The name of a topic in a request, which may give its id instead.

    Raises:
        Refused: no topic has that id.
    """
    return topics.by_id(topic.topic_id).name if hasattr(topic, "topic_id") else str(topic.name)


def read_positions(
    body: Any, topics: Topics, refusal: ErrorCode = ErrorCode.none
) -> tuple[dict[TopicPartition, Position], list[Fields]]:
    """The positions that a request may commit, and what to say of each place: of all of them `refusal`, if it is one."""
    positions: dict[TopicPartition, Position] = {}
    outcomes: list[Fields] = [
        {
            "name": getattr(topic, "name", None),
            "topic_id": getattr(topic, "topic_id", None),
            "partitions": [
                {
                    "partition_index": wanted.partition_index,
                    "error_code": refusal or _read_position(topic, wanted, topics, positions),
                }
                for wanted in topic.partitions
            ],
        }
        for topic in body.topics
    ]
    return positions, outcomes


def _read_position(
    topic: Any, wanted: Any, topics: Topics, positions: dict[TopicPartition, Position]
) -> ErrorCode:
    metadata = wanted.committed_metadata or ""
    try:
        at = TopicPartition(topic_name(topic, topics), wanted.partition_index)
        topics.partition(*at)
    except Refused as refused:
        return refused.code
    if len(metadata.encode()) > MAX_METADATA_BYTES:
        return ErrorCode.offset_metadata_too_large
    positions[at] = Position(wanted.committed_offset, metadata)
    return ErrorCode.none
