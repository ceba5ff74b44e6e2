"""A claim's rows as frames that are no larger than their author wants them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from noetl_stream.dsl.lookup import is_frame
from noetl_stream.wire.values import encode_value


def cut(rows: Any, most: float) -> list[Any]:
    """The rows, a list or a table, as frames of at most so many bytes of JSON; a larger row is a frame by itself.

    None is left out: whoever claimed them holds them.
    """
    spans = pairwise((0, *_ends(rows, most)))
    if is_frame(rows):
        table = rows.arrow()
        return [table.slice(start, end - start) for start, end in spans]
    return [rows[start:end] for start, end in spans]


def _ends(rows: Any, most: float) -> Iterator[int]:
    held = 0
    for index, row in enumerate(rows):
        size = len(encode_value(row))
        if held and held + size > most:
            yield index
            held = 0
        held += size
    if held:
        yield len(rows)
