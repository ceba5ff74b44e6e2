"""The event log as the services see it: ordered partitions of records, appended and read by offset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record as it stands in a topic. `timestamp` is in milliseconds, the broker's or the producer's."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Appender(Protocol):
    """Durable, ordered appends.

    Appends to one partition land in the order of the calls. A returned offset is durable. Raises AppendUnknown when the
    record's fate is unknown (it may or may not stand in the log), InfrastructureError when it certainly does not.
    """

    async def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int: ...

    def append_soon(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> asyncio.Future[int]:
        """The same without waiting: many appends may be in flight, in the order of the calls."""
        ...


class Reader(Protocol):
    """Reading by offset, without a consumer group."""

    async def begin(self, topic: str, partition: int) -> int:
        """The offset of the first record that is still there, or the end."""
        ...

    async def end(self, topic: str, partition: int) -> int:
        """The offset after the last record."""
        ...

    async def at_time(self, topic: str, partition: int, timestamp: int) -> int | None:
        """The first offset whose record is at or after `timestamp` (milliseconds), or None."""
        ...

    def read(self, topic: str, partition: int, start: int, stop: int | None) -> AsyncIterator[Record]:
        """Records from `start` up to `stop`, exclusive; None tails for ever."""
        ...
