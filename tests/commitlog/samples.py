"""Record batches as a producer would send them, made by a client's own encoder, and what writes and reads them."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from noetl_stream.commitlog.batch import HEADER_SIZE, check_produced, read_header
from noetl_stream.commitlog.fsync import GroupCommit
from noetl_stream.commitlog.partition import Partition
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
    return [
        (record.offset, record.value)
        for whole in whole_batches(chunk)
        for record in DefaultRecordBatch(bytearray(whole))
    ]


def whole_batches(chunk: bytes) -> list[bytes]:
    """The batches of a broker's answer, without the last one if that is cut short."""
    batches = []
    while len(chunk) >= HEADER_SIZE and (size := read_header(chunk).size) <= len(chunk):
        batches.append(chunk[:size])
        chunk = chunk[size:]
    return batches


def append(partition: Partition, sent: bytes) -> int:
    """Append a batch as the broker does; its base offset."""
    return partition.append(check_produced(sent, 1 << 24), sent)


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """The kernel lets no file of this process grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@asynccontextmanager
async def opened_storage(*, kept_open: int = KEPT_OPEN) -> AsyncIterator[Storage]:
    """What partitions share; at the end everything is synced, and what waits for that is written."""
    commit = GroupCommit("commit", lambda error: None)
    storage = Storage(commit, kept_open=kept_open)
    yield storage
    await commit.close()
    await storage.close()
