"""A loop's collection that is too large for the log: one Arrow table, one row an item, cut by index without reading the rest."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from noetl_stream.core.run import INLINE_BYTES
from noetl_stream.core.values import Ref, Value
from noetl_stream.dsl.native import native
from noetl_stream.ports.frames import Cache, Frame, FrameKey
from noetl_stream.wire.values import decode_value, encode_value
from noetl_stream.worker.keep import without_tables

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 1_000

COLUMN = "noetl.item"
"""The one column of a table that holds items as JSON. A table of the users' own is its rows."""


async def materialised(cache: Cache, key: FrameKey, items: list[Value] | int | Frame | None) -> Value:
    """A collection as the log keeps it, so that recovery never renders it again: large ones by reference."""
    match items:
        case None | int():
            return items
        case list():
            return await _kept(cache, key, items)
        case _:
            return items.ref


async def _kept(cache: Cache, key: FrameKey, items: list[Value]) -> Value:
    stored = await without_tables(cache, key, items, inline_limit=INLINE_BYTES)
    if len(encode_value(stored)) <= INLINE_BYTES:
        return stored
    return await cache.put_table(key, _as_table(stored))


def _as_table(items: list[Value]) -> pa.Table:
    """One row an item. Encoded some at a time: a small text fresh from the encoder holds a page of memory or so."""
    import pyarrow as pa

    parts = (items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE))
    texts = [pa.array([encode_value(item) for item in part], pa.large_binary()) for part in parts]
    return pa.table({COLUMN: pa.chunked_array(texts)}).combine_chunks()


class Collections:
    """The tables of items that were read last stay open: opening one costs more than most iterations do."""

    def __init__(self, cache: Cache, most: int = 8) -> None:
        self._cache, self._most = cache, most
        self._open: OrderedDict[str, Frame] = OrderedDict()

    async def item(self, items: Ref, row: int) -> Value:
        """One item. References in it are not resolved."""
        if items.format != "arrow":
            return (await self._cache.json(items))[row]
        return _item((await self._frame(items))[row])

    async def _frame(self, items: Ref) -> Frame:
        if items.uri not in self._open:
            frame = await self._cache.frame(items)
            self._open.setdefault(items.uri, frame)
        self._open.move_to_end(items.uri)
        found = self._open[items.uri]
        if len(self._open) > self._most:
            self._open.popitem(last=False)
        return found


async def slice_at(cache: Cache, key: FrameKey, items: Ref, number: int, rows: int) -> Value:
    """The `number`-th slice of `rows` items: of a table, a table of its own under `key`."""
    begin, end = number * rows, (number + 1) * rows
    if items.format != "arrow":
        return (await cache.json(items))[begin:end]
    frame = await cache.frame(items)
    table = frame.arrow().slice(begin, rows)
    if COLUMN in table.column_names:
        return [_item(row) for row in table.to_pylist(maps_as_pydicts="lossy")]
    return await cache.put_table(key, table)


def _item(row: Any) -> Value:
    return decode_value(row[COLUMN]) if COLUMN in row else native(row)
