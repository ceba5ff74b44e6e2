"""Committed group positions: durable before they are acknowledged, and gone with their topic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from noetl_stream.broker.entries import GroupDeleted, OffsetsCommitted
from noetl_stream.broker.journal import Journal

MAX_METADATA_BYTES = 4096


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class Position(NamedTuple):
    """The next offset to read, and the client's note beside it."""

    offset: int
    metadata: str


class Offsets:
    """The positions of every group. What a caller reads here is durable."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[TopicPartition, Position]] = {}
        self._journal: Journal

    def of(self, group: str) -> dict[TopicPartition, Position]:
        """A group's positions; empty for an unknown group."""
        return self._groups.get(group, {})

    def groups(self) -> Iterator[str]:
        return iter(self._groups)

    async def commit(self, group: str, positions: dict[TopicPartition, Position]) -> None:
        entry = OffsetsCommitted(
            group=group, offsets=[(*at, *position) for at, position in positions.items()]
        )
        await self._journal.write(entry)
        self.apply(entry)

    async def forget(self, group: str) -> None:
        entry = GroupDeleted(group=group)
        await self._journal.write(entry)
        self.apply(entry)

    def forget_topic(self, topic: str) -> None:
        """A topic was deleted. Nothing is journalled: the topic's own entry says so."""
        for group, positions in list(self._groups.items()):
            kept = {at: position for at, position in positions.items() if at.topic != topic}
            if kept:
                self._groups[group] = kept
            else:
                del self._groups[group]

    def apply(self, entry: OffsetsCommitted | GroupDeleted) -> None:
        match entry:
            case OffsetsCommitted(group=group, offsets=offsets):
                positions = self._groups.setdefault(group, {})
                for topic, partition, offset, metadata in offsets:
                    positions[TopicPartition(topic, partition)] = Position(offset, metadata)
            case GroupDeleted(group=group):
                self._groups.pop(group, None)

    def entries(self) -> Iterator[OffsetsCommitted]:
        for group, positions in self._groups.items():
            yield OffsetsCommitted(
                group=group, offsets=[(*at, *position) for at, position in positions.items()]
            )

    def record_changes_in(self, journal: Journal) -> None:
        self._journal = journal
