"""Takes the records of a batch apart and puts some of them together again, for compaction.

A record's key, value and headers are never decoded: they are copied as the producer wrote them. Batches keep their
offsets, their producer and their codec. Layout: https://kafka.apache.org/documentation/#recordbatch.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from crc32c import crc32c

from noetl_stream.commitlog.batch import (
    APPEND_TIME,
    CODEC_MASK,
    CRC_COVERS_FROM,
    HEADER_SIZE,
    LENGTH_COVERS_FROM,
    BatchHeader,
    Octets,
)
from noetl_stream.commitlog.compression import Codec, Undecodable, compress, decompress

_HORIZON = 0x40
_COMMITS = b"\x00\x01"
_BEFORE_CRC = struct.Struct(">qiib")
_AFTER_CRC = struct.Struct(">hiqqqhii")
_MAX_VARINT_BITS = 63


class MalformedRecords(Exception):
    """What a batch holds is not the records that its header claims, although its CRC is right."""


class Record(NamedTuple):
    """One record. `rest` is everything behind the timestamp, as the producer encoded it."""

    attributes: int
    timestamp_delta: int
    offset_delta: int
    key: bytes | None
    tombstone: bool
    rest: bytes


def delete_horizon(header: BatchHeader) -> int | None:
    """The time (milliseconds) from which the batch's tombstones, or the marker it is, may be removed (KIP-534)."""
    return header.base_timestamp if header.attributes & _HORIZON else None


def read_records(header: BatchHeader, batch: Octets) -> list[Record]:
    """Every record of a data batch.

    Raises:
        MalformedRecords: they cannot be decompressed or parsed.
    """
    section = _section(header, batch)
    records, position = [], 0
    try:
        for _ in range(header.record_count):
            record, position = _read(section, position)
            records.append(record)
    except IndexError as error:
        raise MalformedRecords("the last record is cut short") from error
    if position != len(section):
        raise MalformedRecords(f"{len(section) - position} bytes follow the last record")
    return records


def marker_commits(header: BatchHeader, batch: Octets) -> bool:
    """Whether a control batch is a commit marker (else it aborts).

    Its type is found by parsing: a horizon makes the fields before it longer.

    Raises:
        MalformedRecords: it is no marker.
    """
    match read_records(header, batch):
        case [Record(key=bytes(key))]:
            return key[-2:] == _COMMITS
        case _:
            raise MalformedRecords("a control batch holds no marker")


def rebuild(header: BatchHeader, records: Sequence[Record], *, horizon: int | None = None) -> bytes:
    """The batch with only these of its records, at their offsets. A `horizon` (milliseconds) is written into it.

    A horizon takes the place of the base timestamp, so timestamps are counted from it then.
    """
    base = header.base_timestamp if horizon is None else horizon
    shift = header.base_timestamp - base
    section = b"".join(_encoded(record, record.timestamp_delta + shift) for record in records)
    return _assembled(
        header._replace(
            attributes=header.attributes | (0 if horizon is None else _HORIZON),
            base_timestamp=base,
            max_timestamp=_latest(header, records),
            record_count=len(records),
        ),
        section,
    )


def _latest(header: BatchHeader, records: Sequence[Record]) -> int:
    if header.attributes & APPEND_TIME or not records:
        return header.max_timestamp
    return header.base_timestamp + max(record.timestamp_delta for record in records)


def _section(header: BatchHeader, batch: Octets) -> bytes:
    """The records' bytes, decompressed."""
    kept = bytes(memoryview(batch)[HEADER_SIZE : header.size])
    try:
        return decompress(Codec(header.attributes & CODEC_MASK), kept) if header.record_count else kept
    except (ValueError, Undecodable) as error:
        raise MalformedRecords(f"the records cannot be decompressed ({error})") from error


def _assembled(header: BatchHeader, section: bytes) -> bytes:
    if header.record_count:
        section = compress(Codec(header.attributes & CODEC_MASK), section)
    else:
        header = header._replace(attributes=header.attributes & ~CODEC_MASK)
    covered = _AFTER_CRC.pack(*header[5:]) + section
    length = CRC_COVERS_FROM - LENGTH_COVERS_FROM + len(covered)
    before = _BEFORE_CRC.pack(header.base_offset, length, header.leader_epoch, header.magic)
    return before + struct.pack(">I", crc32c(covered)) + covered


def _read(section: bytes, begin: int) -> tuple[Record, int]:
    """The record at `begin`, and where the next one stands."""
    length, start = _varint(section, begin)
    end = start + length
    if not start < end <= len(section):
        raise MalformedRecords("a record's length reaches beyond its batch")
    timestamp_delta, rest_at = _varint(section, start + 1)
    offset_delta, position = _varint(section, rest_at)
    key_size, position = _varint(section, position)
    key = section[position : position + key_size] if key_size >= 0 else None
    value_size, position = _varint(section, position + max(key_size, 0))
    if position + max(value_size, 0) >= end:  # at least the count of headers follows
        raise MalformedRecords("a record's key or value reaches beyond the record")
    rest = section[rest_at:end]
    return Record(section[start], timestamp_delta, offset_delta, key, value_size < 0, rest), end


def _encoded(record: Record, timestamp_delta: int) -> bytes:
    time = _varint_bytes(timestamp_delta)
    length = _varint_bytes(1 + len(time) + len(record.rest))
    return b"%b%c%b%b" % (length, record.attributes, time, record.rest)


def _varint(section: bytes, at: int) -> tuple[int, int]:
    """A zig-zag integer, and where it ends."""
    byte = section[at]
    value, shift = byte & 0x7F, 7
    while byte & 0x80:
        at += 1
        byte = section[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > _MAX_VARINT_BITS + 7:
            raise MalformedRecords("an integer has more than ten bytes")
    return (value >> 1) ^ -(value & 1), at + 1


def _varint_bytes(number: int) -> bytes:
    zigzag = number << 1 if number >= 0 else ~(number << 1)
    octets = bytearray()
    while zigzag > 0x7F:
        octets.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    octets.append(zigzag)
    return bytes(octets)
