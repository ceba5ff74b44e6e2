"""Kafka's record batch, version 2: what the broker must read, check and stamp. Records inside stay opaque.

The layout is https://kafka.apache.org/documentation/#recordbatch. The CRC covers everything behind itself, so the
broker may stamp the base offset, which stands before it, without touching what the producer signed.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from crc32c import crc32c
from kio.schema.errors import ErrorCode

from noetl_stream.commitlog.refusal import Refused

_HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = _HEADER.size
_BASE_OFFSET = struct.Struct(">q")
_LEADER_EPOCH = struct.Struct(">i")
LENGTH_COVERS_FROM = 12
_CRC_AT = 17
CRC_COVERS_FROM = 21
_ATTRIBUTES_AT = 21
_MAX_TIMESTAMP_AT = 35
_MAGIC = 2
CODEC_MASK = 0x07
_LAST_CODEC = 4
APPEND_TIME = 0x08
_TRANSACTIONAL = 0x10
_CONTROL = 0x20
_LOWEST_LENGTH = HEADER_SIZE - LENGTH_COVERS_FROM
MAX_SEQUENCE = 0x7FFFFFFF

Octets = bytes | bytearray | memoryview


class BatchHeader(NamedTuple):
    """The 61 bytes before the records. A tuple, because recovery reads millions of them."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return self.length + LENGTH_COVERS_FROM

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        return (self.base_sequence + self.last_offset_delta) & MAX_SEQUENCE

    @property
    def transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def control(self) -> bool:
        return bool(self.attributes & _CONTROL)

    @property
    def plausible(self) -> bool:
        """Whether these bytes can be a header at all; the CRC decides whether they are one."""
        return self.magic == _MAGIC and self.length >= _LOWEST_LENGTH and self.last_offset_delta >= 0


def read_header(source: Octets, at: int = 0) -> BatchHeader:
    """The header at `at`; `source` must hold all its 61 bytes."""
    return BatchHeader._make(_HEADER.unpack_from(source, at))


def intact(header: BatchHeader, batch: Octets) -> bool:
    """Whether the CRC over the whole batch holds."""
    return crc32c(memoryview(batch)[CRC_COVERS_FROM : header.size]) == header.crc


def check_produced(records: bytes | None, max_bytes: int) -> BatchHeader:
    """The header of what a producer sent, which must be exactly one sound batch.

    Raises:
        Refused: not whole, of another format, too large, corrupt, several batches, or not a producer's.
    """
    batch = records or b""
    header = _whole_header(batch)
    if header.size < len(batch):
        raise Refused(ErrorCode.invalid_record, "a partition takes exactly one record batch per request")
    if not intact(header, batch):
        raise Refused(ErrorCode.corrupt_message, "the record batch fails its CRC")
    if header.size > max_bytes:
        raise Refused(
            ErrorCode.message_too_large, f"the batch has {header.size} bytes, the topic allows {max_bytes}"
        )
    if not _is_a_producers(header):
        raise Refused(ErrorCode.invalid_record, "the record batch's count or attributes are not a producer's")
    return header


def _whole_header(records: bytes) -> BatchHeader:
    """The header of a batch that is all there, told apart in the terms of Kafka's own parser."""
    if len(records) < HEADER_SIZE:
        raise Refused(ErrorCode.invalid_record, "the record batch is shorter than its header")
    header = read_header(records)
    if header.length < _LOWEST_LENGTH or header.magic not in (0, 1, _MAGIC):
        raise Refused(ErrorCode.corrupt_message, "this is no record batch")
    if header.magic != _MAGIC:
        raise Refused(ErrorCode.invalid_record, "only record batches of version 2 are kept")
    if header.size > len(records):
        raise Refused(ErrorCode.invalid_record, f"the batch has {header.size} bytes, {len(records)} came")
    return header


def _is_a_producers(header: BatchHeader) -> bool:
    """Whether a producer may say all this of its batch; the rest is the broker's to say."""
    counted = header.record_count == header.last_offset_delta + 1 and header.record_count > 0
    in_sequence = header.producer_id < 0 or header.base_sequence >= 0
    known_codec = header.attributes & CODEC_MASK <= _LAST_CODEC
    return counted and in_sequence and known_codec and header.base_offset == 0 and not header.control


def stamp(batch: bytes, base_offset: int) -> bytearray:
    """The batch as it is kept: with its place in the log, and leader epoch 0 since there is one broker."""
    stamped = bytearray(batch)
    _BASE_OFFSET.pack_into(stamped, 0, base_offset)
    _LEADER_EPOCH.pack_into(stamped, LENGTH_COVERS_FROM, 0)
    return stamped


def with_append_time(batch: bytes, timestamp: int) -> bytes:
    """A producer's batch, all of whose records have the broker's `timestamp` (milliseconds)."""
    timed = bytearray(batch)
    (attributes,) = struct.unpack_from(">h", timed, _ATTRIBUTES_AT)
    struct.pack_into(">h", timed, _ATTRIBUTES_AT, attributes | APPEND_TIME)
    struct.pack_into(">q", timed, _MAX_TIMESTAMP_AT, timestamp)
    struct.pack_into(">I", timed, _CRC_AT, crc32c(memoryview(timed)[CRC_COVERS_FROM:]))
    return bytes(timed)


def transaction_marker(*, producer_id: int, epoch: int, committed: bool, timestamp: int) -> bytes:
    """The control batch that ends a transaction in one partition. `timestamp` is in milliseconds."""
    key = struct.pack(">hh", 0, 1 if committed else 0)
    value = struct.pack(">hi", 0, 0)
    # attributes, timestamp delta and offset delta are zero; lengths are zig-zag varints of one byte.
    record = b"\0\0\0" + bytes([len(key) << 1]) + key + bytes([len(value) << 1]) + value + b"\0"
    record = bytes([len(record) << 1]) + record
    batch = bytearray(HEADER_SIZE) + record
    _HEADER.pack_into(
        batch, 0, 0, len(batch) - LENGTH_COVERS_FROM, 0, _MAGIC, 0, _TRANSACTIONAL | _CONTROL,
        0, timestamp, timestamp, producer_id, epoch, -1, 1,
    )  # fmt: skip
    struct.pack_into(">I", batch, _CRC_AT, crc32c(memoryview(batch)[CRC_COVERS_FROM:]))
    return bytes(batch)
