"""Record batches as a producer would send them, made by a client's own encoder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from noetl_stream.commitlog.fsync import GroupCommit
from noetl_stream.commitlog.storage import KEPT_OPEN, Storage

BASE_TIME = 1_700_000_000_000


def batch(
    *values: bytes,
    producer_id: int = -1,
    epoch: int = -1,
    sequence: int = -1,
    timestamp: int = BASE_TIME,
    transactional: bool = False,
) -> bytes:
    """One uncompressed batch of `values`, one millisecond apart from `timestamp` on."""
    builder = DefaultRecordBatchBuilder(2, 0, int(transactional), producer_id, epoch, sequence, 1 << 24)
    for delta, value in enumerate(values):
        builder.append(delta, timestamp + delta, None, value, [])
    return bytes(builder.build())


def values(chunk: bytes) -> list[tuple[int, bytes]]:
    """(offset, value) of every record in the whole batches of a chunk."""
    found = []
    while len(chunk) >= 12:
        size = int.from_bytes(chunk[8:12], "big") + 12
        if size > len(chunk):
            break
        found += [(record.offset, record.value) for record in DefaultRecordBatch(bytearray(chunk[:size]))]
        chunk = chunk[size:]
    return found


@asynccontextmanager
async def opened_storage(*, kept_open: int = KEPT_OPEN) -> AsyncIterator[Storage]:
    """What partitions share; at the end everything is synced, and what waits for that is written."""
    commit = GroupCommit("commit", lambda error: None)
    storage = Storage(commit, kept_open=kept_open)
    yield storage
    await commit.close()
    await storage.close()
