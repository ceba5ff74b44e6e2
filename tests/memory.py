"""The ports in memory, with the contracts of the real adapters and the faults that a test asks for."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan
from noetl_stream.errors import AppendUnknown, InfrastructureError, InvalidRequest
from noetl_stream.ports.log import Record
from noetl_stream.wire.records import Checkpoint, PartitionMarker

Fate: TypeAlias = Literal["lands", "lands unheard", "is lost", "is refused"]
"""What becomes of an append: acknowledged; in the log or not, with nobody told; certainly not in the log."""


@dataclass(slots=True)
class MemoryLog:
    """A `ports.log.Appender` and `Reader`. Appends meet the next of `fates`, and land where there is none.

    `now` is the time that records get, in seconds. While `held`, records land and nobody is told before `release`.
    A topic that is `missing` takes nothing. `tried` are all appends, whatever became of them.
    """

    now: float = 1_700_000_000.0
    fates: deque[Fate] = field(default_factory=deque)
    held: bool = False
    missing: str = ""
    tried: list[tuple[str, bytes | None]] = field(default_factory=list)
    _records: defaultdict[tuple[str, int], list[Record]] = field(default_factory=lambda: defaultdict(list))
    _waiting: list[tuple[asyncio.Future[int], int]] = field(default_factory=list)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        return await self.append_soon(topic, value, key=key, partition=partition, headers=headers)

    def append_soon(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> asyncio.Future[int]:
        self.tried.append((topic, value))
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        match self._fate(topic):
            case "lands":
                self._tell(told, self._land(topic, partition or 0, key, value, headers))
            case "lands unheard":
                self._land(topic, partition or 0, key, value, headers)
                told.set_exception(AppendUnknown(f"{topic}: no acknowledgement"))
            case "is lost":
                told.set_exception(AppendUnknown(f"{topic}: no acknowledgement"))
            case "is refused":
                told.set_exception(InfrastructureError(f"{topic}: refused"))
        return told

    def _fate(self, topic: str) -> Fate:
        if topic == self.missing:
            return "is refused"
        return self.fates.popleft() if self.fates else "lands"

    def _tell(self, told: asyncio.Future[int], offset: int) -> None:
        if self.held:
            self._waiting.append((told, offset))
        else:
            told.set_result(offset)

    def _land(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> int:
        records = self._records[topic, partition]
        records.append(
            Record(
                topic=topic,
                partition=partition,
                offset=len(records),
                timestamp=int(self.now * 1000),
                key=key,
                value=value,
                headers=tuple((name, text.encode()) for name, text in (headers or {}).items()),
            )
        )
        self._grown.set()
        return len(records) - 1

    def release(self) -> None:
        """Tell whoever waits for an acknowledgement."""
        self.held = False
        waiting, self._waiting = self._waiting, []
        for told, offset in waiting:
            if not told.done():
                told.set_result(offset)

    def records(self, topic: str, partition: int = 0) -> list[Record]:
        return self._records[topic, partition]

    async def begin(self, topic: str, partition: int) -> int:
        return 0

    async def end(self, topic: str, partition: int) -> int:
        return len(self._records[topic, partition])

    async def at_time(self, topic: str, partition: int, timestamp: int) -> int | None:
        found = (r.offset for r in self._records[topic, partition] if r.timestamp >= timestamp)
        return next(found, None)

    async def read(
        self, topic: str, partition: int, start: int, stop: int | None = None
    ) -> AsyncGenerator[Record, None]:
        records, at = self._records[topic, partition], start
        while stop is None or at < stop:
            while at >= len(records):
                self._grown.clear()
                await self._grown.wait()
            yield records[at]
            at += 1


@dataclass(slots=True)
class MemoryCheckpoints:
    """`orchestrator.checkpointing.Checkpoints`. With `broken`, nothing can be written. `kept` is what compaction leaves,
    `markers` and `written` is all there ever was.
    """

    broken: bool = False
    markers: list[PartitionMarker] = field(default_factory=list)
    kept: dict[tuple[int, int, int], Checkpoint | PartitionMarker] = field(default_factory=dict)
    written: list[Checkpoint] = field(default_factory=list)

    async def write(self, partition: int, checkpoint: Checkpoint) -> int:
        self._try()
        await asyncio.sleep(0)
        self.kept[partition, checkpoint.machine, checkpoint.fence] = checkpoint
        self.written.append(checkpoint)
        return len(self.written) - 1

    async def read_one(self, partition: int, place: int) -> Checkpoint:
        self._try()
        await asyncio.sleep(0)
        return self.written[place]

    async def mark(self, marker: PartitionMarker) -> None:
        self._try()
        await asyncio.sleep(0)
        self.kept[marker.partition, 0, marker.fence] = marker
        self.markers.append(marker)

    async def forget(self, partition: int, machine: int, fence: int) -> None:
        await asyncio.sleep(0)
        del self.kept[partition, machine, fence]

    async def read(self, partition: int) -> list[Checkpoint | PartitionMarker]:
        return [each for (where, _, _), each in self.kept.items() if where == partition]

    @property
    def machines(self) -> list[int]:
        """The machines that have a checkpoint, each as often as it has."""
        return [machine for _, machine, _ in self.kept if machine]

    def _try(self) -> None:
        if self.broken:
            raise InfrastructureError("the checkpoints cannot be written; look at the broker")


class MemoryPlans:
    """A `ports.catalog.PinnedPlans` over plans that are known from the start, and a worker's `Plans`."""

    def __init__(self, *plans: Plan) -> None:
        self.plans = list(plans)

    async def await_plan(self, path: str, version: int, digest: str, catalog_offset: int) -> Plan:
        found = self.known_plan(path, version, digest)
        if found is None:
            raise InvalidRequest(f"the catalog has no {path} version {version}; was the topic recreated?")
        return found

    def known_plan(self, path: str, version: int, digest: str) -> Plan | None:
        pinned = (path, version, digest)
        return next((p for p in self.plans if (p.path, p.version, p.digest) == pinned), None)

    def newest(self, path: str, version: int | None) -> Plan | None:
        found = [p for p in self.plans if p.path == path and version in (None, p.version)]
        return max(found, key=lambda p: p.version, default=None)

    async def plan(self, offer: Offer) -> Plan:
        return await self.await_plan(offer.path, offer.version, offer.digest, offer.catalog_offset)
