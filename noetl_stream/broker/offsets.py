"""What is durable about groups: committed positions, and since when a group is empty.

A position is durable before it is acknowledged, and gone with its topic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from noetl_stream.broker.clock import wall_clock
from noetl_stream.broker.entries import (
    GroupChanged,
    GroupDeleted,
    OffsetsCommitted,
    OffsetsForgotten,
    commits,
)
from noetl_stream.broker.journal import Journal

MAX_METADATA_BYTES = 4096


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class Position(NamedTuple):
    """The next offset to read, the client's note beside it, and when it was committed (milliseconds)."""

    offset: int
    metadata: str
    at: int = -1


class Offsets:
    """The positions of every group. What a caller reads here is durable."""

    def __init__(self, now: Callable[[], int] = wall_clock) -> None:
        self._now = now
        self._positions: dict[str, dict[TopicPartition, Position]] = {}
        self._groups: dict[str, GroupChanged] = {}
        self._journal: Journal

    def of(self, group: str) -> Mapping[TopicPartition, Position]:
        """A group's positions; empty for an unknown group."""
        return self._positions.get(group, {})

    def known(self, group: str) -> GroupChanged | None:
        """Whether the group has members, and if not since when; None if it never had any."""
        return self._groups.get(group)

    def groups(self) -> Iterable[str]:
        return dict.fromkeys((*self._groups, *self._positions))

    async def commit(self, group: str, positions: Mapping[TopicPartition, Position]) -> None:
        await self._record(
            OffsetsCommitted(
                group=group,
                offsets=[(*at, position.offset, position.metadata) for at, position in positions.items()],
                at=self._now(),
            )
        )

    async def forget_positions(self, group: str, places: Iterable[TopicPartition]) -> None:
        await self._record(OffsetsForgotten(group=group, offsets=[(at.topic, at.partition) for at in places]))

    async def forget(self, group: str) -> None:
        await self._record(GroupDeleted(group=group))

    async def _record(self, entry: OffsetsCommitted | OffsetsForgotten | GroupDeleted) -> None:
        await self._journal.write(entry)
        self.apply(entry)

    def note_members(self, group: str, protocol_type: str, *, any_left: bool) -> None:
        """A group has got its first member or lost its last. Nobody waits for the disk: it only dates an expiry."""
        empty_since = -1 if any_left else self._now()
        entry = GroupChanged(group=group, protocol_type=protocol_type, empty_since=empty_since)
        self._journal.append(entry)
        self.apply(entry)

    def forget_topic(self, topic: str) -> None:
        """A topic was deleted. Nothing is journalled: the topic's own entry says so."""
        for group, positions in list(self._positions.items()):
            self._forget(group, [at for at in positions if at.topic == topic])

    def _forget(self, group: str, places: Iterable[TopicPartition]) -> None:
        positions = self._positions.get(group, {})
        for at in places:
            positions.pop(at, None)
        if not positions:
            self._positions.pop(group, None)

    # Recovery.

    def apply(self, entry: OffsetsCommitted | OffsetsForgotten | GroupChanged | GroupDeleted) -> None:
        match entry:
            case OffsetsCommitted(group=group, offsets=offsets, at=at):
                positions = self._positions.setdefault(group, {})
                committed_at = at if at >= 0 else self._now()
                for topic, partition, offset, metadata in offsets:
                    positions[TopicPartition(topic, partition)] = Position(offset, metadata, committed_at)
            case OffsetsForgotten(group=group, offsets=places):
                self._forget(group, [TopicPartition(*at) for at in places])
            case GroupChanged(group=group):
                self._groups[group] = entry
            case GroupDeleted(group=group):
                self._positions.pop(group, None)
                self._groups.pop(group, None)

    def close_sessions(self) -> None:
        """After a restart: no member is here any more, and their groups are empty from now on."""
        for group in [known for known in self._groups.values() if known.empty_since < 0]:
            self.note_members(group.group, group.protocol_type, any_left=False)

    def entries(self) -> Iterator[GroupChanged | OffsetsCommitted]:
        yield from self._groups.values()
        for group, positions in self._positions.items():
            yield from commits(group, positions.items())

    def record_changes_in(self, journal: Journal) -> None:
        self._journal = journal
