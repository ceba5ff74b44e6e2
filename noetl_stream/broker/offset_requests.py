"""The requests about positions: OffsetCommit and OffsetFetch for groups, ListOffsets for the log itself."""

from __future__ import annotations

from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.groups import Groups
from noetl_stream.broker.offsets import MAX_METADATA_BYTES, Offsets, Position, TopicPartition
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transactions import Transactions
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.refusal import Refused

_READ_COMMITTED = 1
_LATEST, _EARLIEST, _LARGEST_TIMESTAMP = -1, -2, -3
_NOWHERE = (-1, -1)
_NO_POSITION = Position(-1, "")


class OffsetRequests:
    """Answers OffsetCommit, OffsetFetch and ListOffsets."""

    def __init__(self, topics: Topics, groups: Groups, offsets: Offsets, transactions: Transactions) -> None:
        self._topics, self._groups = topics, groups
        self._offsets, self._transactions = offsets, transactions

    # OffsetCommit.

    async def commit(self, request: Request) -> Fields:
        body = request.body
        positions: dict[TopicPartition, Position] = {}
        topics = [
            {
                "name": topic.name,
                "partitions": [
                    self._check_position(body, topic.name, wanted, positions) for wanted in topic.partitions
                ],
            }
            for topic in body.topics
        ]
        if positions:
            await self._offsets.commit(body.group_id, positions)
        return {"topics": topics}

    def _check_position(
        self, body: Any, topic: str, wanted: Any, positions: dict[TopicPartition, Position]
    ) -> Fields:
        code = ErrorCode.none
        try:
            self._groups.check_commit(
                body.group_id,
                body.member_id,
                getattr(body, "group_instance_id", None),
                body.generation_id_or_member_epoch,
            )
            self._topics.partition(topic, wanted.partition_index)
            metadata = check_metadata(wanted.committed_metadata)
            positions[TopicPartition(topic, wanted.partition_index)] = Position(
                wanted.committed_offset, metadata
            )
        except Refused as refused:
            code = refused.code
        return {"partition_index": wanted.partition_index, "error_code": code}

    # OffsetFetch.

    async def fetch(self, request: Request) -> Fields:
        body = request.body
        known = self._offsets.of(body.group_id)
        stable_only = getattr(body, "require_stable", False)
        if body.topics is None:
            wanted: dict[str, list[int]] = {}
            for topic, partition in known:
                wanted.setdefault(topic, []).append(partition)
        else:
            wanted = {topic.name: topic.partition_indexes for topic in body.topics}
        topics = [
            {
                "name": topic,
                "partitions": [
                    self._position(
                        body.group_id, TopicPartition(topic, index), known, stable_only=stable_only
                    )
                    for index in indexes
                ],
            }
            for topic, indexes in wanted.items()
        ]
        return {"error_code": ErrorCode.none, "topics": topics}

    def _position(
        self, group: str, at: TopicPartition, known: dict[TopicPartition, Position], *, stable_only: bool
    ) -> Fields:
        unstable = stable_only and self._transactions.has_pending_offset(group, at)
        position = _NO_POSITION if unstable else known.get(at, _NO_POSITION)
        return {
            "partition_index": at.partition,
            "committed_offset": position.offset,
            "committed_leader_epoch": -1,
            "metadata": position.metadata,
            "error_code": ErrorCode.unstable_offset_commit if unstable else ErrorCode.none,
        }

    # ListOffsets.

    async def list(self, request: Request) -> Fields:
        committed_only = getattr(request.body, "isolation_level", 0) == _READ_COMMITTED
        topics = [
            {
                "name": topic.name,
                "partitions": [
                    self._look_up(topic.name, wanted, committed_only=committed_only)
                    for wanted in topic.partitions
                ],
            }
            for topic in request.body.topics
        ]
        return {"topics": topics}

    def _look_up(self, topic: str, wanted: Any, *, committed_only: bool) -> Fields:
        code, (timestamp, offset) = ErrorCode.none, _NOWHERE
        try:
            partition = self._topics.partition(topic, wanted.partition_index)
            timestamp, offset = _find(partition, wanted.timestamp, committed_only=committed_only)
        except Refused as refused:
            code = refused.code
        return {
            "partition_index": wanted.partition_index,
            "error_code": code,
            "timestamp": timestamp,
            "offset": offset,
            "leader_epoch": 0 if offset >= 0 else -1,
        }


def _find(partition: Partition, timestamp: int, *, committed_only: bool) -> tuple[int, int]:
    """(timestamp, offset); a timestamp below zero is one of the protocol's words for a place."""
    match timestamp:
        case int() if timestamp == _LATEST:
            return -1, partition.last_stable_offset if committed_only else partition.high_watermark
        case int() if timestamp == _EARLIEST:
            return -1, partition.start_offset
        case int() if timestamp == _LARGEST_TIMESTAMP:
            return partition.latest_record() or _NOWHERE
        case _:
            return partition.offset_for_time(timestamp, committed_only=committed_only) or _NOWHERE


def check_metadata(metadata: str | None) -> str:
    """A position's note, empty if there is none.

    Raises:
        Refused: it is longer than Kafka keeps.
    """
    if metadata is not None and len(metadata.encode()) > MAX_METADATA_BYTES:
        raise Refused(ErrorCode.offset_metadata_too_large)
    return metadata or ""
