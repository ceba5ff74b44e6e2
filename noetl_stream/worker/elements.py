"""Which elements of a loop's results a block reads, as far as its templates say so by their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from noetl_stream.core.plan import Path

EVERYTHING: Final[tuple[Path, ...]] = (("*",),)
_LAST = frozenset({"result", "response"})
"""What also means the step that led here."""


def elements_read(step: str, reads: Iterable[Path], via: str | None) -> frozenset[int] | None:
    """The elements of a step's results that are read; None where more than single ones may be."""
    roots = {step, *_LAST} if step == via else {step}
    found: set[int] = set()
    for root, *rest in reads:
        if root == "*":
            return None
        if root not in roots:
            continue
        match rest:
            case ["results" | "data", number, *_] if number.removeprefix("-").isdigit():
                found.add(int(number))
            case ["stats" | "count" | "status", *_]:
                pass
            case _:
                return None
    return frozenset(found)
