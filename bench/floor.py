"""What the same broker and client do without us: an acknowledged produce, a hop, and a round trip between two tasks."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from noetl_stream.adapters.admin import ensure_topics
from noetl_stream.wire.topics import Topic

_ROUNDS = 200
_VALUE = b"x" * 300


def _topic(name: str) -> Topic:
    return Topic(name=name, partitions=1, replication=1)


async def floor(bootstrap: str) -> dict[str, float]:
    """Milliseconds (p50) of an acknowledged produce and of a round trip; records per second, all in flight."""
    await ensure_topics(bootstrap, [_topic("bench.there"), _topic("bench.back")])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0)
    await producer.start()
    try:
        return {
            "acknowledged produce, ms": await _produce(producer),
            "round trip over two topics, ms": await _round_trip(bootstrap, producer),
            "produce, records/s": await _burst(producer),
        }
    finally:
        await producer.stop()


async def _produce(producer: AIOKafkaProducer) -> float:
    async def once() -> None:
        await producer.send_and_wait("bench.there", _VALUE, partition=0)

    return await _median(once)


async def _round_trip(bootstrap: str, producer: AIOKafkaProducer) -> float:
    """A record there, echoed back: the least that a block's offer and outcome cost."""
    there, back = await _tail(bootstrap, "bench.there"), await _tail(bootstrap, "bench.back")

    async def echo() -> None:
        async for record in there:
            await producer.send("bench.back", record.value, partition=0)

    async def once() -> None:
        await producer.send("bench.there", _VALUE, partition=0)
        await back.getone()

    task = asyncio.create_task(echo())
    try:
        return await _median(once)
    finally:
        task.cancel()
        await asyncio.gather(there.stop(), back.stop())


async def _tail(bootstrap: str, topic: str) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="latest")
    await consumer.start()
    at = TopicPartition(topic, 0)
    consumer.assign([at])
    consumer.seek(at, (await consumer.end_offsets([at]))[at])
    return consumer


async def _burst(producer: AIOKafkaProducer) -> float:
    count, began = 10_000, time.perf_counter()
    sent = [await producer.send("bench.there", _VALUE, partition=0) for _ in range(count)]
    await asyncio.gather(*sent)
    return round(count / (time.perf_counter() - began))


async def _median(once: Callable[[], Awaitable[None]]) -> float:
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        await once()
        times.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(times), 2)
