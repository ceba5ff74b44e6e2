"""Kafka's codecs, with a bound on what comes out: 15 KB of zstd can stand for half a gigabyte of zeros."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from enum import IntEnum

MAX_DECOMPRESSED = 64 << 20
_FIRST_GUESS = 64 << 10
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_SIZE = 16
_TOO_SMALL = "write whole buffer"  # what cramjam says of a buffer that is


class Codec(IntEnum):
    """As numbered in a batch's attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


class Undecodable(Exception):
    """The bytes are not what the codec writes, or stand for more than `MAX_DECOMPRESSED`."""


def compress(codec: Codec, section: bytes) -> bytes:
    """As Kafka's clients do it: snappy in xerial's blocks, lz4 in independent ones."""
    if codec is Codec.NONE:
        return section
    from aiokafka import codec as codecs  # only where batches are compressed

    encode: Callable[[bytes], bytes] = getattr(codecs, f"{codec.name.lower()}_encode")
    return bytes(encode(section))


def decompress(codec: Codec, section: bytes) -> bytes:
    """What was compressed.

    Raises:
        Undecodable: as it says.
    """
    if codec is Codec.NONE:
        return section
    import cramjam  # only where batches are compressed

    try:
        match codec:
            case Codec.GZIP:
                return _gunzip(section)
            case Codec.SNAPPY:
                return _unsnap(section)
            case Codec.LZ4:
                return _grown(cramjam.lz4.decompress_into, section)
            case Codec.ZSTD:
                return _grown(cramjam.zstd.decompress_into, section)
    except (cramjam.DecompressionError, zlib.error, struct.error) as error:
        raise Undecodable(f"the records are no sound {codec.name.lower()}, or too large ({error})") from error


def _gunzip(section: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    found = stream.decompress(section, MAX_DECOMPRESSED)
    if not stream.eof:
        raise Undecodable("the gzip stream is cut short, or too large")
    return found


def _unsnap(section: bytes) -> bytes:
    """One block, or xerial's stream of blocks with their lengths."""
    if not section.startswith(_XERIAL_MAGIC):
        return _snappy_block(section, MAX_DECOMPRESSED)
    position, found = _XERIAL_HEADER_SIZE, bytearray()
    while position < len(section):
        [size] = struct.unpack_from(">i", section, position)
        if size < 0:
            raise Undecodable("a snappy block has a negative length")
        begin = position + 4
        found += _snappy_block(section[begin : begin + size], MAX_DECOMPRESSED - len(found))
        position = begin + size
    return bytes(found)


def _snappy_block(block: bytes, at_most: int) -> bytes:
    import cramjam

    if cramjam.snappy.decompress_raw_len(block) > at_most:
        raise Undecodable("the snappy block is too large")
    return bytes(cramjam.snappy.decompress_raw(block))


def _grown(decompress_into: Callable[[bytes, bytearray], int], section: bytes) -> bytes:
    """The libraries do not say how much room they need, only that a buffer is too small."""
    import cramjam

    room = max(_FIRST_GUESS, 4 * len(section))
    while True:
        buffer = bytearray(min(room, MAX_DECOMPRESSED))
        try:
            return bytes(memoryview(buffer)[: decompress_into(section, buffer)])
        except cramjam.DecompressionError as error:
            if _TOO_SMALL not in str(error) or room >= MAX_DECOMPRESSED:
                raise
            room *= 4
