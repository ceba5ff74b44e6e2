"""Writers who remember what was acknowledged, for tests that kill the broker under them."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition


class Writer:
    """Sends numbers to a topic, ten at a time, and notes which were acknowledged."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self.acknowledged = set[int]()
        self.stopped = False
        self._progress = asyncio.Condition()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            enable_idempotence=True,
            retry_backoff_ms=20,
            request_timeout_ms=20_000,
        )

    async def run(self) -> None:
        async with self._producer:
            number = 0
            while not self.stopped:
                await self._send(range(number, number + 10))
                number += 10
                async with self._progress:
                    self._progress.notify_all()

    async def _send(self, numbers: range) -> None:
        sent = {
            number: await self._producer.send(self.topic, b"%d" % number, partition=0) for number in numbers
        }
        for number, acknowledgement in sent.items():
            await acknowledgement
            self.acknowledged.add(number)

    async def has_acknowledged(self, count: int) -> None:
        async with self._progress:
            await self._progress.wait_for(lambda: len(self.acknowledged) >= count)


async def numbers_read(bootstrap: str, topic: str) -> list[int]:
    """All that a consumer reads, in its order."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        read: list[int] = []
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                read += [int(record.value) for record in records]
        return read
