"""Dead letters as they are read: what was set aside, why, from where, and whether it has been asked again since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from noetl_stream.ports.log import Record

REASON: Final = "noetl-reason"
ORIGIN_TOPIC: Final = "noetl-origin-topic"
ORIGIN_PARTITION: Final = "noetl-origin-partition"
ORIGIN_OFFSET: Final = "noetl-origin-offset"
REDRIVEN: Final = "noetl-redriven"
"""On a record that was asked again: the offset of its dead letter. Alone, on the dead letters: that this was done."""

_OURS = frozenset({REASON, ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET, REDRIVEN})


class Origin(NamedTuple):
    """A place in a topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter, by its `offset`. `at` is in seconds.

    `origin` is where the record stood, `first` where it stood before anybody asked it again; `headers` are the record's own.
    """

    offset: int
    at: float
    reason: str
    origin: Origin
    first: Origin
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    redriven: bool = False


def letter_of(record: Record) -> Letter | None:
    """What a record of the dead letters says; None for a note that one was asked again.

    Whoever else writes there may leave what is no letter: that is None as well.
    """
    said = dict(record.headers)
    origin = place_of(record.headers[::-1])
    if origin is None or REASON not in said:
        return None
    return Letter(
        offset=record.offset,
        at=record.timestamp / 1000,
        reason=said[REASON].decode(errors="replace"),
        origin=origin,
        first=(place_of(record.headers) if REDRIVEN in said else None) or origin,
        key=record.key,
        value=record.value,
        headers=tuple((name, each) for name, each in record.headers if name not in _OURS),
    )


def place_of(headers: Sequence[tuple[str, bytes]]) -> Origin | None:
    """The place that headers name, the first of each name; None if they name none."""
    said = dict(reversed(headers))
    try:
        return Origin(said[ORIGIN_TOPIC].decode(), int(said[ORIGIN_PARTITION]), int(said[ORIGIN_OFFSET]))
    except (KeyError, ValueError):
        return None


def redriven_by(record: Record) -> int | None:
    """The letter of which a record of the dead letters says that it was asked again."""
    said = dict(record.headers)
    if REASON in said or REDRIVEN not in said:
        return None
    text = said[REDRIVEN]
    return int(text) if text.isdigit() else None
