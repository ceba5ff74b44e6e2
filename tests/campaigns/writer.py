"""A writer that trusts its broker: what was acknowledged to it must stand where it was told, once, in order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiokafka import AIOKafkaProducer

from noetl_stream.adapters.kafka_log import KafkaReader
from tests.campaigns.lane import SOON, Stuck

PARTITIONS = 2
IN_FLIGHT = 8
SIZE = 100
"""Bytes of a record."""


@dataclass(kw_only=True)
class Writer:
    """An idempotent producer with acks=all that numbers its records."""

    bootstrap: str
    topic: str
    promised: tuple[dict[int, int], ...] = field(default_factory=lambda: tuple({} for _ in range(PARTITIONS)))
    """By partition: offset → number, as acknowledged."""
    given_up: list[str] = field(default_factory=list)
    """Records that the client raised for: neither promised nor refused."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then everything that is on its way is awaited."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, acks="all", enable_idempotence=True, request_timeout_ms=10_000
        )
        await producer.start()
        room = asyncio.Semaphore(IN_FLIGHT)
        try:
            async with asyncio.TaskGroup() as sending:
                for number in count():
                    await room.acquire()
                    if stop.is_set():
                        break
                    sent = await producer.send(self.topic, _value(number), partition=number % PARTITIONS)
                    sending.create_task(self._note(number, sent, room))
        finally:
            await producer.stop()

    async def _note(self, number: int, sent: asyncio.Future[Any], room: asyncio.Semaphore) -> None:
        try:
            found = await sent
            self.promised[found.partition][found.offset] = number
        except Exception as error:  # whatever a client may raise is reported, not survived in silence
            self.given_up.append(f"record {number} was given up: {error!r}")
        room.release()
        self.changed.set()

    @property
    def acknowledged(self) -> int:
        return sum(map(len, self.promised))

    async def until_acknowledged(self, more: int) -> None:
        """Wait for so many more acknowledgements. Raises Stuck if they do not come."""
        goal = self.acknowledged + more
        try:
            async with asyncio.timeout(SOON):
                while self.acknowledged < goal:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise Stuck(f"fewer than {more} more records acknowledged in {SOON:g} s") from None

    async def violations(self, reader: KafkaReader) -> list[str]:
        """What the log holds against what was promised."""
        found = list(self.given_up)
        for partition in range(PARTITIONS):
            found += await self._in(partition, reader)
        return found

    async def _in(self, partition: int, reader: KafkaReader) -> list[str]:
        found, missing, newest = list[str](), dict(self.promised[partition]), -1
        stop = await reader.end(self.topic, partition)
        async for record in reader.read(self.topic, partition, 0, stop):
            number = int(record.value or b"-1")
            if missing.pop(record.offset, number) != number:
                found.append(f"{partition}/{record.offset} holds record {number}, not the one acknowledged")
            if number <= newest:
                found.append(f"{partition}/{record.offset} holds record {number} after {newest}")
            newest = number
        return [*found, *(f"record {n} is gone from {partition}/{at}" for at, n in missing.items())]


def _value(number: int) -> bytes:
    return str(number).rjust(SIZE).encode()
