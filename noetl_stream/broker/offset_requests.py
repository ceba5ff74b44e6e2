"""The requests about groups' positions: OffsetCommit and OffsetFetch."""

from __future__ import annotations

from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.groups import Groups
from noetl_stream.broker.offsets import MAX_METADATA_BYTES, Offsets, Position, TopicPartition
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transactions import Transactions
from noetl_stream.commitlog.refusal import Refused

_NO_POSITION = Position(-1, "")


class OffsetRequests:
    """Answers OffsetCommit and OffsetFetch."""

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


def check_metadata(metadata: str | None) -> str:
    """A position's note, empty if there is none.

    Raises:
        Refused: it is longer than Kafka keeps.
    """
    if metadata is not None and len(metadata.encode()) > MAX_METADATA_BYTES:
        raise Refused(ErrorCode.offset_metadata_too_large)
    return metadata or ""
