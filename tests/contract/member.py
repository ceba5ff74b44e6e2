"""A member of a consumer group in a process of its own, to be killed: `member.py BOOTSTRAP TOPIC GROUP OFFSET`.
It commits OFFSET for what it is given, prints those partitions, and stays."""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaConsumer


async def stay(bootstrap: str, topic: str, group: str, offset: int) -> None:
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
    ) as consumer:
        await consumer.getone()
        await consumer.commit(dict.fromkeys(consumer.assignment(), offset))
        print(*(held.partition for held in consumer.assignment()), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(stay(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
