"""What consumers say to one another through the broker when they join: the topics each of them wants.

Kafka's `ConsumerProtocolSubscription`: a version (int16), then an array (int32) of strings (int16); what follows
differs by version and is of no concern here.
"""

from __future__ import annotations

import struct

CONSUMER = "consumer"

_HEAD = struct.Struct(">hi")
_LENGTH = struct.Struct(">h")


def subscribed_topics(metadata: bytes) -> frozenset[str] | None:
    """The topics in a consumer's metadata, or None where the bytes are something else."""
    try:
        _, count = _HEAD.unpack_from(metadata)
        position, topics = _HEAD.size, set()
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(metadata, position)
            position += _LENGTH.size
            topics.add(metadata[position : position + length].decode())
            position += length
    except (struct.error, UnicodeDecodeError):
        return None
    return frozenset(topics)
