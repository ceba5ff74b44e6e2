"""The newest offset of each key, in memory of a fixed size: what compaction decides by.

Keys are known by 128 bits of BLAKE2b, salted: two keys are never taken for one, even if somebody tries.
"""

from __future__ import annotations

import os
import struct
from array import array
from hashlib import blake2b

_SLOT = struct.Struct("=QQ")
_FULL_AT = 0.8


class KeyOffsets:
    """An open-addressing table of at most `keys` keys, 30 bytes each."""

    def __init__(self, keys: int) -> None:
        self._slots = int(keys / _FULL_AT) + 1
        self._high = array("Q", bytes(8 * self._slots))
        self._low = array("Q", bytes(8 * self._slots))
        self._after = array("q", bytes(8 * self._slots))  # the offset plus one; 0 marks a free slot
        self._left = keys
        self._salt = os.urandom(16)

    def note(self, key: bytes, offset: int) -> bool:
        """Remember `offset`, larger than every one before, as the key's newest; False if the table is full."""
        slot, high, low = self._find(key)
        if self._after[slot] == 0:
            if self._left == 0:
                return False
            self._left -= 1
            self._high[slot], self._low[slot] = high, low
        self._after[slot] = offset + 1
        return True

    def newest(self, key: bytes) -> int:
        """The newest offset noted for the key, or -1."""
        return self._after[self._find(key)[0]] - 1

    def _find(self, key: bytes) -> tuple[int, int, int]:
        """The key's slot, or the free one where it would stand; and its hash."""
        high, low = _SLOT.unpack(blake2b(key, digest_size=16, salt=self._salt).digest())
        slot = low % self._slots
        while self._after[slot] and (self._low[slot] != low or self._high[slot] != high):
            slot = (slot + 1) % self._slots
        return slot, high, low
