"""PostgreSQL's numerics as `numeric_send` tells them, read a column at a time: no number becomes text on its way.

Each is a head of four 16-bit words (count of digits, weight of the first, sign, digits after the point) and its digits of base
10,000. Source: PostgreSQL's `numeric_send` in src/backend/utils/adt/numeric.c.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Words: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

MOST: Final = 18
"""So many decimal digits are read here: their number is one of 64 bits."""
_NEGATIVE: Final = 0x4000
_SPECIAL: Final = 0xC000
"""NaN and both infinities have both of these bits in their sign."""
_HEAD: Final = 4
_BASE_DIGITS: Final = 4
_POWERS: Final = 10 ** np.arange(MOST + 1, dtype=np.int64)


def decimals(sent: pa.Array, kind: pa.Decimal128Type) -> pa.Array:
    """The values as this decimal of at most 18 digits; null stays null.

    Raises:
        ValueError: one of them is none.
    """
    found = np.zeros(len(sent), np.int64)
    there = sent.is_valid().to_numpy(zero_copy_only=False)
    words, at = _words(sent)
    found[there] = _scaled(words, at[there], kind.scale)
    wide = np.stack([found, found >> 63], axis=1)
    return pa.Array.from_buffers(kind, len(sent), [_validity(sent), pa.py_buffer(wide)])


def _words(sent: pa.Array) -> tuple[Words, Words]:
    """All 16-bit words of the column, and where in them each value begins."""
    _, offsets, content = sent.buffers()
    at = np.frombuffer(offsets, np.int32)[sent.offset : sent.offset + len(sent) + 1]
    held = b"" if content is None else memoryview(content)[at[0] : at[-1]]
    return np.frombuffer(held, ">u2").astype(np.int64), (at[:-1].astype(np.int64) - at[0]) // 2


def _validity(sent: pa.Array) -> pa.Buffer | None:
    if not sent.null_count:
        return None
    # A value of its own for each null, so that the bits begin at the first of them.
    return pc.if_else(sent.is_valid(), True, pa.scalar(None, pa.bool_())).buffers()[0]


def _scaled(words: Words, at: Words, scale: int) -> Words:
    """Each number times ten to the scale."""
    counts, signs = words[at], words[at + 2]
    if ((signs & _SPECIAL) == _SPECIAL).any():
        raise ValueError("NaN and infinity are no decimals")
    weights = words[at + 1].astype(np.int16).astype(np.int64)
    found = np.zeros(len(at), np.int64)
    for n in range(int(counts.max(initial=0))):
        has = counts > n
        digits = np.where(has, words[np.where(has, at + _HEAD + n, 0)], 0)
        found += _placed(digits, np.where(has, _BASE_DIGITS * (weights - n) + scale, 0))
    return np.where(signs == _NEGATIVE, -found, found)


def _placed(digits: Words, powers: Words) -> Words:
    """Each digit of base 10,000 times ten to its power, which may be negative."""
    under = _POWERS[np.clip(-powers, 0, _BASE_DIGITS)]
    over = _POWERS[np.clip(powers, 0, MOST)]
    if (powers > MOST).any() or (digits > _POWERS[MOST] // over).any() or (digits % under).any():
        raise ValueError("a number has more digits than its column")
    return digits // under * over
