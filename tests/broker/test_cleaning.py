"""The cleaner of a whole broker: what it does unasked, what it remembers, and what survives `kill -9` in its midst."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.launch import start_broker
from noetl_stream.broker.settings import BrokerSettings

COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": "2000"}
RESTLESS = BrokerSettings(cleaning_interval=0.01)
WHEN_ASKED = BrokerSettings(cleaning_interval=3600)
KEYS = [b"%d" % number for number in range(7)]
_KILLS = 20
_SEED = 20260


async def create(bootstrap: str, topic: str, settings: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=settings)])
        assert [row[1] for row in answer.topic_errors] == [0]
    finally:
        await admin.close()


async def delete(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await admin.delete_topics([topic])
        assert [code for _, code in answer.topic_error_codes] == [0]
    finally:
        await admin.close()


async def overwrite(bootstrap: str, topic: str, rounds: int = 50) -> None:
    """Each key once a round, a batch a round."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5) as producer:
        for number in range(rounds):
            await asyncio.gather(*[await producer.send(topic, b"%d" % number, key=key) for key in KEYS])


async def read(bootstrap: str, topic: str) -> list[tuple[int, bytes, int]]:
    """(offset, key, value) of all that a consumer is given."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        found: list[tuple[int, bytes, int]] = []
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                found += [(record.offset, record.key, int(record.value)) for record in records]
        return found


async def test_a_compacted_topic_shrinks_and_is_not_compacted_again_after_a_restart(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path, settings=WHEN_ASKED) as broker:
        await create(broker.bootstrap, "state", COMPACTED)
        await overwrite(broker.bootstrap, "state")
        await broker.cleaning.sweep()
        counters = broker.cleaning.counters
        assert len(await read(broker.bootstrap, "state")) < 100
        assert (counters.passes > 0, counters.removed_records > 200, counters.uncleanable) == (True, True, 0)

    async with EmbeddedBroker(tmp_path, settings=WHEN_ASKED) as broker:
        await broker.cleaning.sweep()
        assert broker.cleaning.counters.passes == 0
        found = await read(broker.bootstrap, "state")
    assert {key: value for _, key, value in found} == dict.fromkeys(KEYS, 49)


async def test_a_topic_can_be_deleted_while_it_is_compacted(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path, settings=RESTLESS) as broker:
        for number in range(5):
            await create(broker.bootstrap, f"state-{number}", COMPACTED)
            await overwrite(broker.bootstrap, f"state-{number}", 20)
            await delete(broker.bootstrap, f"state-{number}")

        assert broker.cleaning.counters.uncleanable == 0
    assert list((tmp_path / "logs").iterdir()) == []


async def test_a_damaged_log_is_put_aside_and_the_others_are_still_cleaned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedBroker(tmp_path, settings=WHEN_ASKED) as broker:
        for topic in ("damaged", "sound"):
            await create(broker.bootstrap, topic, COMPACTED)
            await overwrite(broker.bootstrap, topic)
        victim = _flip_last_byte(tmp_path / "logs", "damaged-*")

        await broker.cleaning.sweep()

        assert broker.cleaning.counters.uncleanable == 1
        assert f"{victim} is damaged at byte" in caplog.text
        assert len(await read(broker.bootstrap, "sound")) < 100


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_no_newest_value_is_lost_over_kills_of_a_broker_that_compacts(tmp_path: Path) -> None:
    """Values only grow, so what a key holds in the end tells whether a newer one was lost or came twice."""
    chance = random.Random(_SEED)
    broker = start_broker(tmp_path, cleaning_interval=0.005)
    await create(broker.bootstrap, "state", COMPACTED)
    port = int(broker.bootstrap.rsplit(":")[1])
    writer = _Writer(broker.bootstrap)
    writing = asyncio.create_task(writer.run())
    for _ in range(_KILLS):
        await writer.has_acknowledged(chance.randrange(20, 400))
        await asyncio.to_thread(broker.kill)
        broker = await asyncio.to_thread(start_broker, tmp_path, port=port, cleaning_interval=0.005)
    await writer.has_acknowledged(200)
    writer.stopped = True
    await writing

    found = await read(broker.bootstrap, "state")
    assert {key: value for _, key, value in found} == writer.acknowledged
    async with asyncio.timeout(30):
        while len(found) > writer.count * len(KEYS) / 10:
            found = await read(broker.bootstrap, "state")
    assert {key: value for _, key, value in found} == writer.acknowledged
    values = defaultdict[bytes, list[int]](list)
    for _, key, value in found:
        values[key].append(value)
    assert all(kept == sorted(set(kept)) for kept in values.values())
    broker.stop()


class _Writer:
    """Writes growing values under a few keys, and notes the last one that was acknowledged of each."""

    def __init__(self, bootstrap: str) -> None:
        self.acknowledged: dict[bytes, int] = {}
        self.count = 0
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
            while not self.stopped:
                self.count += 1
                sent = {key: await self._producer.send("state", b"%d" % self.count, key=key) for key in KEYS}
                for key, acknowledgement in sent.items():
                    await acknowledgement
                    self.acknowledged[key] = self.count
                async with self._progress:
                    self._progress.notify_all()

    async def has_acknowledged(self, more: int) -> None:
        async with self._progress:
            until = self.count + more
            await self._progress.wait_for(lambda: self.count >= until)


def _flip_last_byte(logs: Path, topic: str) -> Path:
    """Of the second segment of that topic's only partition."""
    victim = sorted(logs.glob(f"{topic}/0/*.log"))[1]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    return victim
