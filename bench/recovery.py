"""What a start costs on a log of many small batches, and on a large one after kill -9.

`python -m bench.recovery [--records N] [--gigabytes N]` prints one JSON line per measure. The logs are made by the
broker's own code, without a client between; the temporary directory must have room for them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from bench.broker import create_topic, resident_mb
from noetl_stream.broker.launch import BrokerHandle, start_broker
from noetl_stream.commitlog.batch import check_produced
from noetl_stream.commitlog.fsync import GroupCommit
from noetl_stream.commitlog.recovery import open_partition
from noetl_stream.commitlog.storage import Storage

_LARGE_BATCH = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--gigabytes", type=float, default=10)
    arguments = parser.parse_args()
    large = int(arguments.gigabytes * (1 << 30) / _LARGE_BATCH)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_measure(Path(directory) / "a", f"{arguments.records} batches", arguments.records, 300))
        asyncio.run(_measure(Path(directory) / "b", f"{arguments.gigabytes} GB", large, _LARGE_BATCH))


async def _measure(data: Path, log: str, batches: int, size: int) -> None:
    seconds, broker = _timed_start(data)
    _report("start on an empty directory", seconds, broker)
    await create_topic(broker.bootstrap, "t")
    broker.stop()
    await _fill(_log_of(data), batches, size)

    seconds, broker = _timed_start(data)
    _report(f"start on {log}", seconds, broker)
    await _produce_until_killed(broker)
    seconds, broker = _timed_start(data)
    _report(f"start on {log} after kill -9", seconds, broker)
    broker.stop()


def _timed_start(data: Path) -> tuple[float, BrokerHandle]:
    began = time.perf_counter()
    broker = start_broker(data, timeout=120)
    return time.perf_counter() - began, broker


def _log_of(data: Path) -> Path:
    return next(data.glob("logs/t-*/0"))


async def _fill(directory: Path, batches: int, size: int) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, size + 1000)
    builder.append(0, int(time.time() * 1000), None, os.urandom(size), [])
    sent = bytes(builder.build())
    header = check_produced(sent, 1 << 24)
    commit = GroupCommit("interval", lambda error: None)
    storage = Storage(commit)
    partition = open_partition(directory, storage)
    for number in range(batches):
        partition.append(header, sent)
        if number % 64 == 0:
            await asyncio.sleep(0)  # let the sweeps begin
    partition.checkpoint()
    await partition.checkpointed()
    partition.close()
    await commit.close()
    await storage.close()


async def _produce_until_killed(broker: BrokerHandle) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=5) as producer:
        for _ in range(10_000):
            await producer.send("t", bytes(300), partition=0)
        await producer.flush()
    broker.kill()


def _report(measure: str, seconds: float, broker: BrokerHandle) -> None:
    result = {"seconds": round(seconds, 3), "resident_mb": resident_mb(broker.pid)}
    print(json.dumps({"measure": measure, **result}), flush=True)


if __name__ == "__main__":
    main()
