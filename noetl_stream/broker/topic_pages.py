"""DescribeTopicPartitions: topics in the order of their names, by pages of partitions (KIP-966)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.metadata import described, not_described, partition, topic_operations
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topics

_MOST_PARTITIONS = 2000


class TopicPages:
    """A page ends where its partitions are used up; the cursor names the first partition it left out."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def describe(self, request: Request) -> Fields:
        body = request.body
        left = max(1, min(body.response_partition_limit, _MOST_PARTITIONS))
        topics: list[Fields] = []
        for name, first in self._from(body):
            if left == 0:
                return {"topics": topics, "next_cursor": {"topic_name": name, "partition_index": first}}
            topic = self._page(name, first, left)
            topics.append(topic)
            left -= len(topic["partitions"])
            following = first + len(topic["partitions"])
            if following < self._count(name):
                return {"topics": topics, "next_cursor": {"topic_name": name, "partition_index": following}}
        return {"topics": topics, "next_cursor": None}

    def _from(self, body: Any) -> Iterator[tuple[str, int]]:
        """The wanted topics at and behind the cursor, each with its first partition to show."""
        names = sorted({topic.name for topic in body.topics} or {topic.name for topic in self._topics})
        start, first = (body.cursor.topic_name, body.cursor.partition_index) if body.cursor else ("", 0)
        for name in names:
            if name >= start:
                yield name, first if name == start else 0

    def _page(self, name: str, first: int, most: int) -> Fields:
        topic = self._topics.find(name)
        if topic is None:
            unknown = not_described(ErrorCode.unknown_topic_or_partition, name)
            return {**unknown, "topic_authorized_operations": topic_operations(False)}
        indexes = range(first, min(first + most, self._count(name)))
        shown = {"partitions": [partition(index) for index in indexes]}
        return {**described(topic), **shown, "topic_authorized_operations": topic_operations(True)}

    def _count(self, name: str) -> int:
        topic = self._topics.find(name)
        return len(topic.partitions) if topic is not None else 0
