"""How much one evaluation of a template may do and make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class LimitExceeded(ValueError):
    """A template would do or make too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Characters of text, elements of a list, operations, bits of an integer, words of a template; and of what one yields:
    values, and the characters of all its texts."""

    output: int = 1024 * 1024
    items: int = 100_000
    values: int = 1_000_000
    characters: int = 64 * 1024 * 1024
    operations: int = 1_000_000
    bits: int = 10_000
    words: int = 20_000


LIMITS = Limits()


def check_items(size: int, *, text: bool = False) -> None:
    """Raises LimitExceeded if a text or list of that size is too large."""
    limit, unit = (LIMITS.output, "characters") if text else (LIMITS.items, "elements")
    if size > limit:
        raise LimitExceeded(f"it makes more than {limit} {unit}")


def check_text(value: Any) -> Any:
    """The value itself. Raises LimitExceeded if it is text that is too long."""
    if isinstance(value, str):
        check_items(len(value), text=True)
    return value


def check_bits(bits: int) -> None:
    """Raises LimitExceeded if an integer of so many bits is too large."""
    if bits > LIMITS.bits:
        raise LimitExceeded(f"it computes an integer of more than {LIMITS.bits} bits")


def bounded_join(parts: Iterable[str]) -> str:
    """Join text. Raises LimitExceeded as soon as it is too long."""
    found: list[str] = []
    size = 0
    for part in parts:
        size += len(part)
        check_items(size, text=True)
        found.append(part)
    return "".join(found)
