"""Record batches as producers put them on the wire, and the records that a broker gives back."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatchBuilder
from crc32c import crc32c

MEBIBYTE = 1 << 20
AN_HOUR_AGO = int(time.time() * 1000) - 3_600_000
"""A time of a producer's own that retention does not find too old."""

# Fields of a batch's header: their format and their place.
BASE_OFFSET, LENGTH, MAGIC, ATTRIBUTES = (">q", 0), (">i", 8), (">b", 16), (">h", 21)
LAST_OFFSET_DELTA, PRODUCER_ID, RECORD_COUNT = (">i", 23), (">q", 43), (">i", 57)
_CRC_AT, _CRC_COVERS_FROM = 17, 21

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def batch_of(
    *values: bytes | None,
    key: bytes | None = b"key",
    times: Sequence[int] | None = None,
    codec: str = "none",
    producer_id: int = -1,
    epoch: int = -1,
    sequence: int = -1,
) -> bytes:
    """The values as one batch of version 2. `times` are in milliseconds, one for each value."""
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, producer_id, epoch, sequence, 64 * MEBIBYTE)
    for at, (value, when) in enumerate(zip(values, times or [AN_HOUR_AGO] * len(values), strict=True)):
        builder.append(at, when, key, value, [])
    return bytes(builder.build())


def altered(batch: bytes, where: tuple[str, int], value: int) -> bytes:
    """The batch with one field of its header changed, its checksum right again."""
    changed = bytearray(batch)
    struct.pack_into(where[0], changed, where[1], value)
    struct.pack_into(">I", changed, _CRC_AT, crc32c(changed[_CRC_COVERS_FROM:]))
    return bytes(changed)


def records_in(octets: bytes) -> list[DefaultRecord]:
    """Every record of the whole batches in a fetch's answer."""
    records: list[DefaultRecord] = []
    batches = MemoryRecords(octets)
    while (batch := batches.next_batch()) is not None:
        records += list(batch)
    return records
