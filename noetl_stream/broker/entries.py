"""What the broker's journal says: everything durable that is not a record in a partition.

An entry states the new fact, so that applying it twice changes nothing. A field that came later has a default, which
is what an older journal means by leaving it out. Times are in milliseconds since 1970, -1 where none was noted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_args

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicCreated:
    """A topic exists, with its files under `directory`. Its configuration holds only what was set."""

    name: str
    directory: str
    partitions: int
    configs: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicChanged:
    """A topic's partition count and configuration from now on."""

    name: str
    partitions: int
    configs: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDeleted:
    """A topic is gone; its directory is to be removed."""

    name: str
    directory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsDeleted:
    """Records of a partition before `offset` may not be read again."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCleaned:
    """Compaction has come up to `offset` in a partition. Older news only makes it clean again."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSynced:
    """A partition's log was durable up to byte `position`: damage before it is no unfinished write."""

    topic: str
    partition: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetsCommitted:
    """A group's positions: (topic, partition, offset, metadata)."""

    group: str
    offsets: list[tuple[str, int, int, str]]
    at: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetsForgotten:
    """These positions (topic, partition) of a group no longer stand."""

    group: str
    offsets: list[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChanged:
    """A group has got its first member, or lost its last one at `empty_since` (-1 while it has members)."""

    group: str
    protocol_type: str
    empty_since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDeleted:
    """A group and its positions are forgotten."""

    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerIdsReserved:
    """Every producer id below `below` may have been given out."""

    below: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionChanged:
    """The whole of a transactional producer's state. `offsets`: (group, topic, partition, offset, metadata)."""

    transactional_id: str
    producer_id: int
    epoch: int
    timeout_ms: int
    state: str
    partitions: list[tuple[str, int]]
    offsets: list[tuple[str, str, int, int, str]]
    began: int = -1
    at: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionForgotten:
    """A transactional id was not used for long, and is as if it had never been."""

    transactional_id: str


Entry = (
    TopicCreated
    | TopicChanged
    | TopicDeleted
    | RecordsDeleted
    | LogCleaned
    | LogSynced
    | OffsetsCommitted
    | OffsetsForgotten
    | GroupChanged
    | GroupDeleted
    | ProducerIdsReserved
    | TransactionChanged
    | TransactionForgotten
)

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Entry)}
_FIELDS = {name: tuple(f.name for f in fields(kind)) for name, kind in _KINDS.items()}
_KNOWN = {name: frozenset(names) for name, names in _FIELDS.items()}
_REQUIRED = {
    name: frozenset(f.name for f in fields(kind) if f.default is MISSING) for name, kind in _KINDS.items()
}


def commits(
    group: str, positions: Iterable[tuple[tuple[str, int], tuple[int, str, int]]]
) -> Iterator[OffsetsCommitted]:
    """An entry for each time at which a group's positions, by place as (offset, metadata, time), were committed."""
    by_time: dict[int, list[tuple[str, int, int, str]]] = defaultdict(list)
    for (topic, partition), (offset, metadata, at) in positions:
        by_time[at].append((topic, partition, offset, metadata))
    for at, offsets in by_time.items():
        yield OffsetsCommitted(group=group, offsets=offsets, at=at)


def dump(entry: Entry) -> bytes:
    """One line of JSON, without its end."""
    kind = type(entry).__name__
    return orjson.dumps({"kind": kind, **{name: getattr(entry, name) for name in _FIELDS[kind]}})


def load(line: bytes) -> Entry:
    """The entry in a line.

    Raises:
        ValueError: no JSON, an unknown kind, or fields that do not belong to it.
    """
    values = orjson.loads(line)
    name = values.pop("kind", "")
    kind = _KINDS.get(name)
    if kind is None or not _REQUIRED[name] <= values.keys() <= _KNOWN[name]:
        raise ValueError("not an entry that this version knows")
    entry: Entry = kind(**values)
    return entry
