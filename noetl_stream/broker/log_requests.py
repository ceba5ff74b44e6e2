"""The requests about the logs themselves: which offset a time has, where a leader's term ended, how large they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.metadata import LEADER_EPOCH, check_leader_epoch
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topics
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.record_codec import MalformedRecords
from noetl_stream.commitlog.refusal import Refused

_READ_COMMITTED = 1
_NOWHERE = (-1, -1)


class Place(IntEnum):
    """ListOffsets' words for places: timestamps that no record can have."""

    LATEST = -1
    EARLIEST = -2
    LARGEST_TIMESTAMP = -3
    EARLIEST_LOCAL = -4
    LATEST_TIERED = -5
    EARLIEST_PENDING_UPLOAD = -6


class LogRequests:
    """Answers ListOffsets, OffsetForLeaderEpoch and DescribeLogDirs."""

    def __init__(self, topics: Topics, logs: Path) -> None:
        self._topics, self._logs = topics, logs

    # ListOffsets.

    async def list_offsets(self, request: Request) -> Fields:
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
            check_leader_epoch(getattr(wanted, "current_leader_epoch", -1))
            timestamp, offset = _find(partition, wanted.timestamp, committed_only=committed_only)
        except Refused as refused:
            code = refused.code
        except MalformedRecords:
            code = ErrorCode.corrupt_message
        return {
            "partition_index": wanted.partition_index,
            "error_code": code,
            "timestamp": timestamp,
            "offset": offset,
            "leader_epoch": LEADER_EPOCH if offset >= 0 else -1,
        }

    # OffsetForLeaderEpoch.

    async def offset_for_leader_epoch(self, request: Request) -> Fields:
        topics = [
            {
                "topic": topic.topic,
                "partitions": [self._end_of_term(topic.topic, wanted) for wanted in topic.partitions],
            }
            for topic in request.body.topics
        ]
        return {"topics": topics}

    def _end_of_term(self, topic: str, wanted: Any) -> Fields:
        """The only term there is has not ended: it reaches to the log's end."""
        code, epoch, end_offset = ErrorCode.none, -1, -1
        try:
            partition = self._topics.partition(topic, wanted.partition)
            check_leader_epoch(wanted.current_leader_epoch)
            if wanted.leader_epoch == LEADER_EPOCH:
                epoch, end_offset = LEADER_EPOCH, partition.end_offset
        except Refused as refused:
            code = refused.code
        return {
            "error_code": code,
            "partition": wanted.partition,
            "leader_epoch": epoch,
            "end_offset": end_offset,
        }

    # DescribeLogDirs.

    async def describe_log_dirs(self, request: Request) -> Fields:
        """All logs lie in one folder. Sizes are in bytes."""
        disk = shutil.disk_usage(self._logs)
        folder = {
            "error_code": ErrorCode.none,
            "log_dir": str(self._logs),
            "topics": [self._sizes(name, indexes) for name, indexes in self._named(request.body.topics)],
            "total_bytes": disk.total,
            "usable_bytes": disk.free,
        }
        return {"error_code": ErrorCode.none, "results": [folder]}

    def _named(self, wanted: Any) -> Iterable[tuple[str, Iterable[int]]]:
        """What was asked for, as far as it exists; everything if nothing was named."""
        if wanted is None:
            return [(topic.name, range(len(topic.partitions))) for topic in self._topics]
        return [(topic.topic, topic.partitions) for topic in wanted if self._topics.find(topic.topic)]

    def _sizes(self, name: str, indexes: Iterable[int]) -> Fields:
        partitions = self._topics.topic(name).partitions
        return {
            "name": name,
            "partitions": [
                {
                    "partition_index": index,
                    "partition_size": partitions[index].size,
                    "offset_lag": 0,
                    "is_future_key": False,
                }
                for index in indexes
                if 0 <= index < len(partitions)
            ],
        }


def _find(partition: Partition, timestamp: int, *, committed_only: bool) -> tuple[int, int]:
    """(timestamp, offset) of the first record at or after the timestamp, or of the place it stands for."""
    match timestamp:
        case Place.LATEST:
            return -1, partition.last_stable_offset if committed_only else partition.high_watermark
        case Place.EARLIEST | Place.EARLIEST_LOCAL:
            return -1, partition.start_offset
        case Place.LARGEST_TIMESTAMP:
            return partition.latest_record() or _NOWHERE
        case Place.LATEST_TIERED | Place.EARLIEST_PENDING_UPLOAD:  # nothing is moved to other storage
            return _NOWHERE
        case _:
            return partition.offset_for_time(timestamp, committed_only=committed_only) or _NOWHERE
