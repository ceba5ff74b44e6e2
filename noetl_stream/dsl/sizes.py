"""How large a value is to its depths, found without following more of it than may be: a list may hold one list many times."""

from __future__ import annotations

from typing import Any

from noetl_stream.dsl.limits import LIMITS, check_items
from noetl_stream.dsl.lookup import is_frame

COMPARED = 4
"""Values that are compared in one operation."""
SCALARS = (int, float, bool, type(None))
MARKS = 2
"""The least characters around an element in text: a comma and a space."""


def weight(value: Any, most: int) -> int:
    """How many operations a comparison takes; stops counting above `most`."""
    found, pending = 1, [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            pending.extend(each.values())
            found += len(each)
        elif isinstance(each, list | tuple | range):
            pending.extend(each)
            found += len(each)
        elif isinstance(each, str):
            found += len(each) // 32
        if found // COMPARED > most:
            break
    return found // COMPARED


def written_values(value: Any) -> int:
    """How many values there are to write. Raises LimitExceeded where they would be more text than may be made."""
    values, characters, pending = 0, 0, [value]
    while pending:
        each = pending.pop()
        values += 1
        characters += MARKS
        if isinstance(each, str):
            characters += len(each)
        elif isinstance(each, dict):
            pending.extend(each.values())
            characters += sum(map(len, filter(_is_text, each)))
        elif isinstance(each, list | tuple | range):
            pending.extend(each)
        elif type(each) not in SCALARS and is_frame(each):
            check_items(MARKS * len(each), text=True)
            pending.extend(dict(row) for row in each)
        if characters > LIMITS.output:
            check_items(characters, text=True)
    return values


def _is_text(key: object) -> bool:
    return isinstance(key, str)
