"""How much one evaluation of a template may do and make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class LimitExceeded(ValueError):
    """A template would do or make too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Characters of text, elements of a list, values of a result, operations, bits of an integer."""

    output: int = 1024 * 1024
    items: int = 100_000
    values: int = 1_000_000
    operations: int = 1_000_000
    bits: int = 10_000


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
