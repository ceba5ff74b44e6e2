"""A broker that is killed at random under transactions that read, write, and commit where they have read to."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.launch import start_broker
from tests.broker.client import RawClient
from tests.broker.raw_producer import RawProducer
from tests.broker.reading import committed_position, committed_values, create_topic

pytestmark = pytest.mark.slow

_KILLS, _SEED = 25, 2026
_PARTITIONS = 3


class _Copier:
    """Writes the numbers from a group's position on to each partition, a few in one transaction with its next position.

    Whatever fails, it begins again as a new instance at the committed position, as a restarted process would.
    """

    def __init__(self, bootstrap: str, rng: random.Random) -> None:
        self._bootstrap, self._rng = bootstrap, rng
        self.answers, self.acknowledged = 0, 0
        self.broker_is_up = asyncio.Event()
        self._moved = asyncio.Condition()

    async def run(self) -> None:
        while True:
            await self.broker_is_up.wait()
            with contextlib.suppress(EOFError, ConnectionError):
                async with RawClient(self._bootstrap) as client:
                    await self._copy(RawProducer(client))

    async def _copy(self, producer: RawProducer) -> None:
        await self._told(await producer.begin())
        while True:
            position = await committed_position(producer.client, "g")
            upto = max(position, 0) + self._rng.randint(1, 4)
            await self._transact(producer, range(max(position, 0), upto), committed=self._rng.random() < 0.8)

    async def _transact(self, producer: RawProducer, numbers: range, *, committed: bool) -> None:
        await self._told(await producer.add(*range(_PARTITIONS)))
        for partition in range(_PARTITIONS):
            await self._told(await producer.send(partition, *(b"%d" % number for number in numbers)))
        await self._told(await producer.add_group("g"))
        await self._told(await producer.commit_offset("g", numbers.stop))
        await self._told(await producer.end(committed=committed))
        if committed:
            self.acknowledged = numbers.stop

    async def _told(self, code: ErrorCode) -> None:
        assert code is ErrorCode.none
        self.answers += 1
        async with self._moved:
            self._moved.notify_all()

    async def has_been_told(self, more: int) -> None:
        """Wait for so many more answers."""
        wanted = self.answers + more
        async with self._moved:
            await self._moved.wait_for(lambda: self.answers >= wanted)


@pytest.mark.timeout(240)
async def test_transactions_are_whole_and_positions_agree_over_kills(tmp_path: Path) -> None:
    """The broker dies at any moment of any transaction; nothing is doubled, torn or lost."""
    rng = random.Random(_SEED)
    broker = start_broker(tmp_path)
    port = int(broker.bootstrap.rsplit(":")[1])
    async with RawClient(broker.bootstrap) as client:
        await create_topic(client, _PARTITIONS)
    copier = _Copier(broker.bootstrap, rng)
    copying = asyncio.create_task(copier.run())

    for _ in range(_KILLS):
        copier.broker_is_up.set()
        await copier.has_been_told(rng.randint(1, 40))
        copier.broker_is_up.clear()
        await asyncio.to_thread(broker.kill)  # while the loop goes on asking
        broker = await asyncio.to_thread(start_broker, tmp_path, port=port)
    copier.broker_is_up.set()
    await copier.has_been_told(20)
    copying.cancel()
    await asyncio.gather(copying, return_exceptions=True)

    async with RawClient(broker.bootstrap) as client:
        await RawProducer(client).begin()  # ends what the copier has left open
        position = await committed_position(client, "g")
        copies = [await committed_values(client, partition) for partition in range(_PARTITIONS)]
    assert position >= copier.acknowledged > 0
    assert copies == [[b"%d" % number for number in range(position)]] * _PARTITIONS
    broker.stop()
