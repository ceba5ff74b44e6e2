"""A broker that is killed anywhere in a transaction: it is seen whole or not at all, and positions agree."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.broker import EmbeddedBroker
from tests.broker.client import RawClient
from tests.broker.raw_producer import RawProducer
from tests.broker.reading import committed_position, committed_values, create_topic

pytestmark = pytest.mark.slow

_DYING = Path(__file__).with_name("dying_broker.py")
_PARTITIONS, _GROUPS = 3, ("g", "h")
_FIRST_WRITES = 5
"""The producer's next epoch, its partitions and its records: not all of them need a crash of their own."""

_Standing = tuple[list[bytes], list[int]]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("committed", [True, False], ids=["commit", "abort"])
async def test_a_transaction_is_whole_or_not_at_all_wherever_the_broker_dies(
    tmp_path: Path, committed: bool
) -> None:
    """Killed after every write in turn: between the decision and each marker, and between markers and positions."""
    outcomes: list[tuple[bool, _Standing]] = []
    while not outcomes or not outcomes[-1][0]:
        data = tmp_path / str(len(outcomes))
        acknowledged = await _die_in_a_transaction(data, _FIRST_WRITES + len(outcomes), committed=committed)
        outcomes.append((acknowledged, await _what_stands(data)))

    whole: _Standing = ([b"inside"] * _PARTITIONS, [5] * len(_GROUPS))
    nothing: _Standing = ([], [-1] * len(_GROUPS))
    assert all(stands in (whole, nothing) for _, stands in outcomes)
    assert outcomes[-1] == (True, whole if committed else nothing)
    # It died before the decision and, often, after it.
    decided = [stands == whole for _, stands in outcomes]
    assert decided.count(False) > 2
    assert not committed or decided.count(True) > _PARTITIONS + len(_GROUPS)


async def _die_in_a_transaction(data: Path, writes: int, *, committed: bool) -> bool:
    """Whether the end was acknowledged before the broker died."""
    async with EmbeddedBroker(data) as broker, RawClient(broker.bootstrap) as client:
        await create_topic(client, _PARTITIONS)
    with _dying_broker(data, writes) as bootstrap:
        try:
            async with RawClient(bootstrap) as client:
                await _write_in_a_transaction(RawProducer(client), b"inside", 5, committed=committed)
        except (EOFError, ConnectionError):
            return False
    return True


@contextmanager
def _dying_broker(data: Path, writes: int) -> Iterator[str]:
    command = [sys.executable, str(_DYING), str(data), "0", str(writes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["bootstrap"]
        process.kill()


async def _write_in_a_transaction(
    producer: RawProducer, value: bytes, position: int, *, committed: bool
) -> None:
    """A record in each partition, and a position in each group."""
    codes = [await producer.begin(), await producer.add(*range(_PARTITIONS))]
    codes += [await producer.send(partition, value) for partition in range(_PARTITIONS)]
    for group in _GROUPS:
        codes += [await producer.add_group(group), await producer.commit_offset(group, position)]
    codes.append(await producer.end(committed=committed))
    assert set(codes) == {ErrorCode.none}


async def _what_stands(data: Path) -> _Standing:
    """The committed records and positions, after the next instance of the producer has taken over."""
    async with EmbeddedBroker(data) as broker, RawClient(broker.bootstrap) as client:
        successor = RawProducer(client)
        await successor.begin()
        records = [
            value for partition in range(_PARTITIONS) for value in await committed_values(client, partition)
        ]
        positions = [await committed_position(client, group) for group in _GROUPS]
        await _write_in_a_transaction(successor, b"of the next", 9, committed=True)
        for partition in range(_PARTITIONS):  # nothing hangs
            assert (await committed_values(client, partition))[-1] == b"of the next"
        return records, positions
