"""Identity: every id is derived, so that doing a thing twice yields the same id (never drawn, never counted)."""

from __future__ import annotations

from hashlib import blake2b
from zlib import crc32

_POSITIVE_63_BITS = (1 << 63) - 1


def identity(*parts: object) -> bytes:
    """The 128-bit hash of an ordered tuple of parts. Lengths are hashed too, so ("ab", "c") is not ("a", "bc")."""
    digest = blake2b(digest_size=16)
    for part in parts:
        text = str(part).encode()
        digest.update(len(text).to_bytes(4, "big") + text)
    return digest.digest()


def execution_id(hashed: bytes) -> int:
    """A positive 63-bit integer from the head of an `identity`; decimal everywhere it is shown."""
    return (int.from_bytes(hashed[:8], "big") & _POSITIVE_63_BITS) or 1


def keyed_request(tenant: str, playbook: str, idempotency_key: str) -> bytes:
    """Identity of a request that carries its own idempotency key."""
    return identity("key", tenant, playbook, idempotency_key)


def positioned_request(topic: str, generation: int, partition: int, offset: int) -> bytes:
    """Identity of a record without a key: where it stands. A recreated topic has another generation."""
    return identity("at", topic, generation, partition, offset)


def child_request(block: str, attempt: int, task: str, visit: int) -> bytes:
    """Identity of the execution that a block's `playbook` task starts; the same after any redelivery."""
    return identity("child", block, attempt, task, visit)


def fork_request(execution: int, address: str, key: str) -> bytes:
    """Identity of the execution that goes on from another one at an address, for the key of whoever asks."""
    return identity("fork", execution, address, key)


def effect_key(block: str, task: str, visit: int) -> str:
    """The idempotency key of one write: stable over attempts and redeliveries, different for two writes of one pipeline."""
    return identity("effect", block, task, visit).hex()


def partition_of(execution: int, partitions: int) -> int:
    """Where a machine lives. Every writer computes this itself, so that no partitioner can disagree."""
    return execution % partitions


def offer_partition(block: str, partitions: int) -> int:
    """Where a block's offers go: all of one block to one partition, blocks spread evenly."""
    return crc32(block.encode()) % partitions
