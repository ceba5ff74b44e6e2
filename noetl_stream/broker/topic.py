"""A topic, and the table in which every request finds its topics: by name, by id, and partition by partition."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from noetl_stream.broker.cleanup_policy import longest_segment_ms
from noetl_stream.broker.topic_config import DEFAULTS, MAX_MESSAGE_BYTES
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.refusal import Refused
from noetl_stream.commitlog.segment import SegmentLimits

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_TOPIC_IDS = uuid.UUID("5c1b2f0e-8f0d-4b53-9a0b-6f1a3f7f2d10")


@dataclass(slots=True, kw_only=True)
class Topic:
    """A topic. `configs` holds only what was set; `directory` is relative to the broker's logs.

    `id` tells it from an earlier or later topic of its name. It is derived, since no two have one directory.
    """

    name: str
    directory: str
    partition_count: int
    configs: dict[str, str]
    start_offsets: dict[int, int] = field(default_factory=dict)
    cleaned_offsets: dict[int, int] = field(default_factory=dict)
    synced_positions: dict[int, int] = field(default_factory=dict)
    partitions: list[Partition] = field(default_factory=list)
    id: uuid.UUID = field(init=False)

    def __post_init__(self) -> None:
        self.id = uuid.uuid5(_TOPIC_IDS, self.directory)

    def config(self, name: str) -> str:
        """A setting's value: the topic's own, else the default."""
        return self.configs.get(name, DEFAULTS[name])

    @property
    def segment_limits(self) -> SegmentLimits:
        """When a partition's log goes on in a new file."""
        return SegmentLimits(
            max_bytes=int(self.config("segment.bytes")), max_ms=longest_segment_ms(self.config)
        )

    @property
    def max_message_bytes(self) -> int:
        return int(self.config(MAX_MESSAGE_BYTES))


class TopicTable:
    """The topics that a client can see now."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self._by_id: dict[uuid.UUID, Topic] = {}

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    def find(self, name: str) -> Topic | None:
        return self._topics.get(name)

    def topic(self, name: str) -> Topic:
        """Raises Refused for a topic that does not exist."""
        topic = self._topics.get(name)
        if topic is None:
            raise Refused(
                ErrorCode.unknown_topic_or_partition, f"This server does not host the topic '{name}'."
            )
        return topic

    def by_id(self, topic_id: uuid.UUID | None) -> Topic:
        """Raises Refused for an id that no topic has."""
        topic = self._by_id.get(topic_id) if topic_id is not None else None
        if topic is None:
            raise Refused(ErrorCode.unknown_topic_id, f"This server hosts no topic with the ID {topic_id}.")
        return topic

    def partition(self, topic: str, index: int) -> Partition:
        """Raises Refused for a partition that does not exist."""
        partitions = self.topic(topic).partitions
        if not 0 <= index < len(partitions):
            raise Refused(
                ErrorCode.unknown_topic_or_partition, f"The topic '{topic}' has no partition {index}."
            )
        return partitions[index]

    def _add(self, topic: Topic) -> None:
        self._topics[topic.name] = self._by_id[topic.id] = topic

    def _drop(self, topic: Topic) -> None:
        del self._topics[topic.name], self._by_id[topic.id]


def check_name(name: str) -> None:
    """Raises Refused for a name that no topic may have."""
    if name in (".", "..") or not _LEGAL_NAME.fullmatch(name):
        raise Refused(ErrorCode.invalid_topic_exception, f"The topic name '{name}' is not legal.")
