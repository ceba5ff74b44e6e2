"""A keychain over a log in memory: the topic's real fold, with two who write it at once where a test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from noetl_stream.keychain.key_file import KeyFile
from noetl_stream.keychain.keys import Keys
from noetl_stream.keychain.sealing import Name
from noetl_stream.keychain.standing import Standing
from noetl_stream.keychain.topic import KeychainTopic
from noetl_stream.ports.credentials import Wanted
from noetl_stream.ports.log import Record
from noetl_stream.wire.codec import decode

NAME = Name(tenant="acme", alias="pg")


@dataclass(slots=True)
class GappyLog:
    """One partition whose offsets get gaps: `compact` leaves the newest record of each key. `down` fails every reader.

    An append lets others in before it lands: those who meet over one credential do so here.
    """

    records: list[Record] = field(default_factory=list)
    ends: int = 0
    down: Exception | None = None
    _next: int = 0

    async def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        await asyncio.sleep(0)
        offset, self._next = self._next, self._next + 1
        self.records.append(
            Record(topic=topic, partition=0, offset=offset, timestamp=0, key=key, value=value)
        )
        return offset

    def append_soon(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> asyncio.Future[int]:
        return asyncio.ensure_future(self.append(topic, value, key=key))

    async def begin(self, topic: str, partition: int) -> int:
        return self.records[0].offset if self.records else self._next

    async def end(self, topic: str, partition: int) -> int:
        self.ends += 1
        if self.down is not None:
            raise self.down
        return self._next

    async def at_time(self, topic: str, partition: int, timestamp: int) -> int | None:
        return None

    async def read(self, topic: str, partition: int, start: int, stop: int | None) -> AsyncIterator[Record]:
        for record in list(self.records):
            if record.offset >= start and (stop is None or record.offset < stop):
                yield record

    def compact(self) -> None:
        newest = {record.key: record for record in self.records}
        self.records = [each for each in self.records if newest[each.key] is each and each.value is not None]

    def decoded(self) -> Iterator[tuple[Record, object]]:
        for record in self.records:
            if record.value is not None:
                yield record, decode(record.value)

    def recreate(self) -> None:
        self.records, self._next = [], 0

    @property
    def bytes(self) -> bytes:
        return b"".join((each.key or b"") + (each.value or b"") for each in self.records)


@pytest.fixture
def log() -> GappyLog:
    return GappyLog()


@pytest.fixture
def keys() -> Keys:
    return keys_of(b"a")


def keys_of(*letters: bytes) -> Keys:
    """Keys of one letter each, the first the current one."""
    current, *others = (KeyFile.of(letter * 32) for letter in letters)
    return Keys(current=current, others=others)


def opened(log: GappyLog, *, history: bool = True) -> KeychainTopic:
    """The topic as a process sees it that has just begun."""
    return KeychainTopic(log, log, "noetl.keychain", Standing(history=history))


def wanted(alias: str = "pg", **more: object) -> Wanted:
    asks: dict[str, object] = {"tenant": "acme", "execution": 7, "path": "finance/daily/load"}
    return Wanted(alias=alias, **(asks | more))  # type: ignore[arg-type]
