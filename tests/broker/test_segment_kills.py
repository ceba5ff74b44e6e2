"""Killed in mid-write while its segments roll over all the time, a broker loses nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from noetl_stream.broker.launch import start_broker
from noetl_stream.broker.upkeep import check
from tests.broker.writers import Writer, numbers_read

pytestmark = pytest.mark.slow

_KILLS = 25
_TOPICS = ("a", "b", "c")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_acknowledged_is_lost_where_every_few_batches_begin_a_segment(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    broker = start_broker(tmp_path)
    port = int(broker.bootstrap.rsplit(":")[1])
    await _create(broker.bootstrap)
    writers = [Writer(broker.bootstrap, topic=topic) for topic in _TOPICS]
    writing = [asyncio.create_task(writer.run()) for writer in writers]
    goal = 0
    for _ in range(_KILLS):
        goal += chance.randint(1, 120)
        await chance.choice(writers).has_acknowledged(goal)
        await asyncio.to_thread(broker.kill)
        assert check(tmp_path) == []  # a killed broker leaves unfinished writes, never damage
        broker = await asyncio.to_thread(start_broker, tmp_path, port=port)
    for writer in writers:
        await writer.has_acknowledged(goal + 100)
        writer.stopped = True
    await asyncio.gather(*writing)

    for writer in writers:
        numbers = await numbers_read(broker.bootstrap, writer.topic)
        assert numbers == sorted(set(numbers))
        assert writer.acknowledged <= set(numbers)
    assert _segments(tmp_path) > 60
    broker.stop()
    assert check(tmp_path) == []


async def _create(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    small = {"segment.bytes": "512"}
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=small) for topic in _TOPICS])
    await admin.close()


def _segments(data: Path) -> int:
    return len(list(data.glob("logs/*/0/*.log")))
