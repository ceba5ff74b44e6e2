"""Fetch: read what is there, or wait until there is enough, woken by the very sync that makes it readable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from kio.schema.errors import ErrorCode

from noetl_stream.broker.metadata import check_leader_epoch
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topics
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.refusal import Refused

_READ_COMMITTED = 1


class Fetch:
    """Serves consumers. It keeps no fetch sessions: every request names all its partitions."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def fetch(self, request: Request) -> Fields:
        body = request.body
        if getattr(body, "session_id", 0):
            return {"error_code": ErrorCode.fetch_session_id_not_found, "session_id": 0, "responses": []}
        deadline = asyncio.get_running_loop().time() + body.max_wait.total_seconds()
        with _Watch(self._known_partitions(body)) as watch:
            answer = self._read(body)
            while not answer.is_enough(body.min_bytes) and await watch.woken_before(deadline):
                answer = self._read(body)
        return {"error_code": ErrorCode.none, "session_id": 0, "responses": answer.topics}

    def _known_partitions(self, body: Any) -> Iterator[Partition]:
        for wanted in body.topics:
            for place in wanted.partitions:
                try:
                    yield self._partition(wanted, place.partition)
                except Refused:
                    continue  # `_read` says why

    def _partition(self, wanted: Any, index: int) -> Partition:
        """Named by the topic's name or, in the later versions, by its id."""
        if hasattr(wanted, "topic_id"):
            return self._topics.partition(self._topics.by_id(wanted.topic_id).name, index)
        return self._topics.partition(wanted.topic, index)

    def _read(self, body: Any) -> _Answer:
        answer = _Answer(left=body.max_bytes, wants_nothing=not body.topics)
        committed_only = body.isolation_level == _READ_COMMITTED
        for wanted in body.topics:
            partitions = [
                self._read_partition(wanted, place, answer, committed_only=committed_only)
                for place in wanted.partitions
            ]
            name, topic_id = getattr(wanted, "topic", None), getattr(wanted, "topic_id", None)
            answer.topics.append({"topic": name, "topic_id": topic_id, "partitions": partitions})
        return answer

    def _read_partition(self, topic: Any, wanted: Any, answer: _Answer, *, committed_only: bool) -> Fields:
        try:
            partition = self._partition(topic, wanted.partition)
            check_leader_epoch(getattr(wanted, "current_leader_epoch", -1))
            _require_in_range(partition, wanted.fetch_offset)
        except Refused as refused:
            answer.has_errors = True
            return _refusal(wanted.partition, refused.code)
        records = partition.read(
            wanted.fetch_offset,
            min(wanted.partition_max_bytes, answer.left),
            committed_only=committed_only,
            whole_first=answer.size == 0,
        )
        answer.add(len(records))
        aborted = partition.aborted_from(wanted.fetch_offset) if committed_only and records else []
        return {
            "partition_index": wanted.partition,
            "error_code": ErrorCode.none,
            "high_watermark": partition.high_watermark,
            "last_stable_offset": partition.last_stable_offset,
            "log_start_offset": partition.start_offset,
            "aborted_transactions": [
                {"producer_id": gone.producer_id, "first_offset": gone.first_offset} for gone in aborted
            ],
            "records": records,
        }


@dataclass(slots=True, kw_only=True)
class _Answer:
    """What has been read so far, and how many bytes the client still takes."""

    left: int
    wants_nothing: bool
    size: int = 0
    has_errors: bool = False
    topics: list[Fields] = field(default_factory=list)

    def add(self, size: int) -> None:
        self.size += size
        self.left = max(0, self.left - size)

    def is_enough(self, min_bytes: int) -> bool:
        return self.has_errors or self.wants_nothing or self.size >= min_bytes


class _Watch:
    """Wakes one waiting fetch when any of its partitions has more to read."""

    def __init__(self, partitions: Iterator[Partition]) -> None:
        self._partitions = tuple(partitions)
        self._event = asyncio.Event()

    def __enter__(self) -> Self:
        for partition in self._partitions:
            partition.watch(self._event.set)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for partition in self._partitions:
            partition.unwatch(self._event.set)

    async def woken_before(self, deadline: float) -> bool:
        """Wait until woken (True) or until the loop's time is `deadline` (False)."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


def _require_in_range(partition: Partition, offset: int) -> None:
    """Up to the log's end, not the high watermark: a position from an acks=1 answer is legal, only not yet readable."""
    if not partition.start_offset <= offset <= partition.end_offset:
        raise Refused(ErrorCode.offset_out_of_range)


def _refusal(index: int, code: ErrorCode) -> Fields:
    return {
        "partition_index": index,
        "error_code": code,
        "high_watermark": -1,
        "aborted_transactions": [],
        "records": b"",
    }
