"""The embedded broker against its floor: what an acknowledged write, a second of records and a restart cost.

`python -m bench.broker [--records N]` prints one JSON line per measure. The floor is a bare append and fdatasync on the
same disk in the same run, so that ratios hold where absolute times drift.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from noetl_stream.broker.launch import BrokerHandle, start_broker
from noetl_stream.commitlog.fsync import FsyncPolicy

_RECORD = os.urandom(300)
_ROUNDS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--fsync", choices=("commit", "none"), default="commit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        _report("fdatasync of 400 bytes, the floor", _milliseconds(_raw_syncs(Path(directory) / "floor")))
        asyncio.run(_measure(Path(directory) / "data", arguments.records, arguments.fsync))


async def _measure(data: Path, records: int, fsync: FsyncPolicy) -> None:
    with _running(data, fsync) as broker:
        await create_topic(broker.bootstrap, "acks")
        await create_topic(broker.bootstrap, "load")
        _report("acknowledged produce", _milliseconds(await _acknowledgements(broker.bootstrap)))
        _report("produce to consumer", _milliseconds(await _hops(broker.bootstrap)))
        _report("produced", {"records_per_s": round(records / await _produce(broker.bootstrap, records))})
        _report("consumed", {"records_per_s": round(records / await _consume(broker.bootstrap, records))})
        _report("memory", {"resident_mb": resident_mb(broker.pid)})
    began = time.perf_counter()
    with _running(data, fsync):
        _report("restart", {"seconds": round(time.perf_counter() - began, 3)})


@contextmanager
def _running(data: Path, fsync: FsyncPolicy) -> Iterator[BrokerHandle]:
    broker = start_broker(data, fsync=fsync, timeout=60)
    try:
        yield broker
    finally:
        broker.stop()


def _raw_syncs(path: Path) -> list[float]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        os.write(descriptor, _RECORD + _RECORD[:100])
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - began)
    os.close(descriptor)
    return times


async def create_topic(bootstrap: str, topic: str) -> None:
    """One of a single partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()


async def _acknowledgements(bootstrap: str) -> list[float]:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        times = []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            await producer.send_and_wait("acks", _RECORD)
            times.append(time.perf_counter() - began)
        return times


async def _hops(bootstrap: str) -> list[float]:
    """From the call to send until a waiting consumer has the record."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    async with consumer, AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        consumer.assign([TopicPartition("acks", 0)])
        await consumer.seek_to_end()
        times = []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            await producer.send("acks", _RECORD)
            await consumer.getone()
            times.append(time.perf_counter() - began)
        return times


async def _produce(bootstrap: str, records: int) -> float:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, linger_ms=5, max_batch_size=512 * 1024
    )
    async with producer:
        began = time.perf_counter()
        for _ in range(records):
            await producer.send("load", _RECORD, partition=0)
        await producer.flush()
        return time.perf_counter() - began


async def _consume(bootstrap: str, records: int) -> float:
    consumer = AIOKafkaConsumer(
        "load", bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=1 << 20
    )
    async with consumer:
        began, seen = time.perf_counter(), 0
        while seen < records:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                seen += len(batch)
        return time.perf_counter() - began


def resident_mb(pid: int) -> int:
    """The memory that a process holds now, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(status.split("VmRSS:")[1].split()[0]) / 1024)


def _milliseconds(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": round(cuts[49] * 1000, 3), "p99_ms": round(cuts[98] * 1000, 3)}


def _report(measure: str, result: dict[str, float] | dict[str, int]) -> None:
    print(json.dumps({"measure": measure, **result}), flush=True)


if __name__ == "__main__":
    main()
