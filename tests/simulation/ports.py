"""The world as the real `Restorer` sees it: an appender, a reader and a catalog. Every wait is somebody else's turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Self

from noetl_stream.core.plan import Plan
from noetl_stream.errors import AppendUnknown
from noetl_stream.ports.log import Record
from noetl_stream.wire.codec import decode_event, encode
from tests.simulation.checkpoints import Await
from tests.simulation.world import World


class Ports:
    """Records pass through their released schemas, as they do in life."""

    def __init__(self, world: World, who: str) -> None:
        self.world, self.who = world, who

    async def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        offset = self.world.append(int(key or b"0"), decode_event(value or b""), self.who)
        await Await()
        if offset is None:
            raise AppendUnknown(f"nobody knows whether {self.who}'s record stands in {topic}")
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
        raise AssertionError("a restore waits for what it appends")

    async def begin(self, topic: str, partition: int) -> int:
        return 0

    async def end(self, topic: str, partition: int) -> int:
        return len(self.world.log)

    async def at_time(self, topic: str, partition: int, timestamp: int) -> int | None:
        found = (at for at, record in enumerate(self.world.log) if record.time * 1000 >= timestamp)
        return next(found, None)

    def read(self, topic: str, partition: int, start: int, stop: int | None) -> AsyncIterator[Record]:
        return Reading(self, range(start, len(self.world.log) if stop is None else stop))

    def record(self, offset: int) -> Record:
        found = self.world.log[offset]
        if offset not in self.world.encoded:
            self.world.encoded[offset] = encode(found.event)
        return Record(
            topic="events",
            partition=0,
            offset=offset,
            timestamp=int(found.time * 1000),
            key=str(found.machine).encode() if found.machine else None,
            value=self.world.encoded[offset],
        )

    async def await_plan(self, path: str, version: int, digest: str, catalog_offset: int) -> Plan:
        return self.world.plans[path]

    def known_plan(self, path: str, version: int, digest: str) -> Plan | None:
        return self.world.plans.get(path)

    def newest(self, path: str, version: int | None) -> Plan | None:
        return self.world.plans.get(path)


class Reading:
    """A read in progress; now and then somebody else has a turn."""

    def __init__(self, ports: Ports, offsets: range) -> None:
        self.ports, self.offsets = ports, iter(offsets)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record:
        offset = next(self.offsets, None)
        if offset is None:
            raise StopAsyncIteration
        if offset % 16 == 15:
            await Await()
        return self.ports.record(offset)
