"""What the broker's journal says: everything durable that is not a record in a partition.

An entry states the new fact, so that applying it twice changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

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


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDeleted:
    """A group's positions are forgotten."""

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


Entry = (
    TopicCreated
    | TopicChanged
    | TopicDeleted
    | RecordsDeleted
    | LogSynced
    | OffsetsCommitted
    | GroupDeleted
    | ProducerIdsReserved
    | TransactionChanged
)

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        TopicCreated,
        TopicChanged,
        TopicDeleted,
        RecordsDeleted,
        LogSynced,
        OffsetsCommitted,
        GroupDeleted,
        ProducerIdsReserved,
        TransactionChanged,
    )
}


def dump(entry: Entry) -> bytes:
    """One line of JSON, without its end."""
    return orjson.dumps(
        {"kind": type(entry).__name__, **{f.name: getattr(entry, f.name) for f in fields(entry)}}
    )


def load(line: bytes) -> Entry:
    """The entry in a line.

    Raises:
        ValueError: no JSON, an unknown kind, or fields that do not belong to it.
    """
    values = orjson.loads(line)
    kind = _KINDS.get(values.pop("kind", ""))
    if kind is None or values.keys() != {f.name for f in fields(kind)}:
        raise ValueError("not an entry that this version knows")
    entry: Entry = kind(**values)
    return entry
