"""What still counts of a journal: the fewest entries that mean the same to a broker that starts, as a pure fold.

A deleted topic's entry is kept, since its files may still have to be removed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import assert_never

from noetl_stream.broker.entries import (
    Entry,
    GroupChanged,
    GroupDeleted,
    LogCleaned,
    LogSynced,
    OffsetsCommitted,
    OffsetsForgotten,
    ProducerIdsReserved,
    RecordsDeleted,
    TopicChanged,
    TopicCreated,
    TopicDeleted,
    TransactionChanged,
    TransactionForgotten,
    commits,
)


def condense(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries whose replay ends where the replay of `entries` ends."""
    kept = _Kept()
    for entry in entries:
        kept.add(entry)
    return kept.entries()


_Place = tuple[str, int]
_Mark = RecordsDeleted | LogCleaned | LogSynced


@dataclass(slots=True)
class _Kept:
    """By what each entry is about; a later one about the same replaces it."""

    deleted: list[TopicDeleted] = field(default_factory=list)
    topics: dict[str, TopicCreated] = field(default_factory=dict)
    marks: dict[tuple[str, int, type[_Mark]], _Mark] = field(default_factory=dict)
    groups: dict[str, GroupChanged] = field(default_factory=dict)
    positions: dict[str, dict[_Place, tuple[int, str, int]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    reserved: ProducerIdsReserved = field(default_factory=lambda: ProducerIdsReserved(below=0))
    transactions: dict[str, TransactionChanged] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        match entry:
            case TopicCreated() | TopicChanged() | TopicDeleted():
                self._add_topic(entry)
            case RecordsDeleted() | LogCleaned() | LogSynced():
                self.marks[entry.topic, entry.partition, type(entry)] = entry
            case OffsetsCommitted() | OffsetsForgotten() | GroupChanged() | GroupDeleted():
                self._add_group(entry)
            case ProducerIdsReserved():
                self.reserved = max(self.reserved, entry, key=lambda reserved: reserved.below)
            case TransactionChanged():
                self.transactions[entry.transactional_id] = entry
            case TransactionForgotten():
                self.transactions.pop(entry.transactional_id, None)
            case _:
                assert_never(entry)

    def _add_topic(self, entry: TopicCreated | TopicChanged | TopicDeleted) -> None:
        match entry:
            case TopicCreated():
                self.topics[entry.name] = entry
            case TopicChanged(name=name, partitions=partitions, configs=configs):
                self.topics[name] = replace(self.topics[name], partitions=partitions, configs=configs)
            case TopicDeleted():
                self._forget_topic(entry.name)
                self.deleted.append(entry)

    def _forget_topic(self, name: str) -> None:
        self.topics.pop(name, None)
        self.marks = {key: mark for key, mark in self.marks.items() if mark.topic != name}
        for places in self.positions.values():
            for place in [place for place in places if place[0] == name]:
                del places[place]
        for transactional_id, changed in self.transactions.items():
            left = [each for each in changed.offsets if each[1] != name]
            self.transactions[transactional_id] = replace(changed, offsets=left)

    def _add_group(self, entry: OffsetsCommitted | OffsetsForgotten | GroupChanged | GroupDeleted) -> None:
        match entry:
            case OffsetsCommitted(group=group, offsets=offsets, at=at):
                for topic, partition, offset, metadata in offsets:
                    self.positions[group][topic, partition] = (offset, metadata, at)
            case OffsetsForgotten(group=group, offsets=places):
                for topic, partition in places:
                    self.positions[group].pop((topic, partition), None)
            case GroupChanged():
                self.groups[entry.group] = entry
            case GroupDeleted():
                self.groups.pop(entry.group, None)
                self.positions.pop(entry.group, None)

    def entries(self) -> Iterator[Entry]:
        yield from self.deleted
        yield from self.topics.values()
        yield from self.marks.values()
        yield from self.groups.values()
        for group, places in self.positions.items():
            yield from commits(group, places.items())
        yield self.reserved
        yield from self.transactions.values()
