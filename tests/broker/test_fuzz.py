"""Real requests of every kind and version, broken in every way that chance finds, while honest clients go on beside."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from noetl_stream.broker.api import SUPPORTED
from noetl_stream.broker.launch import BrokerHandle, start_broker
from tests.broker.client import frame
from tests.broker.requests import REQUESTS

_KEPT = TopicPartition("kept-by-honest-clients", 0)
_ATTACKERS, _ROUNDS = 6, 150
_MOST_RESIDENT = 200 * 1024 * 1024
_LENGTHS = tuple(
    struct.pack(">i", length) for length in (-1, -2, 0, 1 << 16, 1 << 24, (1 << 31) - 1, -(1 << 31))
)
_VARINTS = (
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80" * 10,
    b"\x00",
    b"\xff\x7f",
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BrokerHandle, Path]]:
    folder = tmp_path_factory.mktemp("broker")
    broker = start_broker(folder, fsync="none")
    yield broker, folder
    broker.stop()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_broken_requests_disturb_nobody(broker: tuple[BrokerHandle, Path], seed: int) -> None:
    running, folder = broker
    async with honest_clients(running.bootstrap) as acknowledged:
        attackers = (attack(running.bootstrap, random.Random(f"{seed}/{i}")) for i in range(_ATTACKERS))
        await asyncio.gather(*attackers)

    assert await read_to_end(running.bootstrap) >= acknowledged
    assert resident_bytes(running.pid) < _MOST_RESIDENT
    assert "a fault of the broker" not in (folder / "broker.log").read_text()


@asynccontextmanager
async def honest_clients(bootstrap: str) -> AsyncIterator[set[bytes]]:
    """A producer for as long as the block lasts, and for a hundred records at least; what was acknowledged to it."""
    acknowledged: set[bytes] = set()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        before = len(await read_to_end(bootstrap))
        enough = asyncio.Event()
        sending = asyncio.create_task(_send(producer, before, acknowledged, enough))
        yield acknowledged
        await enough.wait()
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending


async def _send(
    producer: AIOKafkaProducer, first: int, acknowledged: set[bytes], enough: asyncio.Event
) -> None:
    for number in range(first, 1 << 31):
        value = b"%d" % number
        await producer.send_and_wait(_KEPT.topic, value, partition=_KEPT.partition)
        acknowledged.add(value)
        if len(acknowledged) > 100:
            enough.set()


async def read_to_end(bootstrap: str) -> set[bytes]:
    """All that stands in the honest clients' topic, which must be there in order and once."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([_KEPT])
        end = (await consumer.end_offsets([_KEPT]))[_KEPT]
        values: list[bytes] = []
        while await consumer.position(_KEPT) < end:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                values += [record.value for record in records]
    assert values == [b"%d" % number for number in range(len(values))]
    return set(values)


async def attack(bootstrap: str, chance: random.Random) -> None:
    """Connections, each with a few sound requests and then a broken one, and an end of some kind."""
    host, _, port = bootstrap.partition(":")
    for _ in range(_ROUNDS):
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(chance.randrange(3)):
            writer.write(some_frame(chance))
        writer.write(broken(some_frame(chance), chance))
        await _leave(reader, writer, chance)


async def _leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random) -> None:
    """At once, after all was sent, or after the first answer."""
    with contextlib.suppress(ConnectionError):
        match chance.randrange(3):
            case 0:
                writer.transport.abort()
            case 1:
                await writer.drain()
            case _:
                writer.write_eof()
                await reader.read(4)
    writer.close()


def some_frame(chance: random.Random) -> bytes:
    api = chance.choice(list(SUPPORTED))
    return frame(api, chance.randint(*SUPPORTED[api]), REQUESTS[api])


def broken(sound: bytes, chance: random.Random) -> bytes:
    """A request with one to four faults behind its length, which is true unless it is the fault."""
    body = bytearray(sound[4:])
    for _ in range(chance.randint(1, 4)):
        _break(body, chance)
    length = len(body) if chance.random() < 0.9 else chance.choice([-1, 0, 1, len(body) + 9, 1 << 30])
    return struct.pack(">i", length) + bytes(body)


def _break(body: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(body) + 1)
    match chance.randrange(7):
        case 0:
            body[at : at + 1] = bytes([chance.randrange(256)])
        case 1:
            body[at : at + 4] = chance.choice(_LENGTHS)
        case 2:
            body[at : at + 1] = chance.choice(_VARINTS)
        case 3:
            del body[at:]
        case 4:
            del body[at : at + chance.randint(1, 8)]
        case 5:
            body[at:at] = chance.randbytes(chance.randint(1, 16))
        case _:
            body[at:at] = body[: chance.randrange(len(body) + 1)]


def resident_bytes(pid: int) -> int:
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) * 1024
