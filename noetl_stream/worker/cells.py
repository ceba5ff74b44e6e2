"""Secrets taken out of a table: one native search of its texts; only a column in which there is one is made anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


class Hiding(Protocol):
    """Knows what to hide."""

    @property
    def probe(self) -> str | None: ...
    def value(self, value: Any) -> Any: ...


def masked_table(table: pa.Table, mask: Hiding) -> pa.Table:
    """The table without secrets; the very same one if there are none in it."""
    probe = mask.probe
    if probe is None:
        return table
    for number, column in enumerate(table.columns):
        if _shows(column, probe):
            table = table.set_column(number, table.schema.field(number), _anew(column, mask))
    names = mask.value(table.column_names)
    described = mask.value(dict(table.schema.metadata or {}))
    if names != table.column_names:
        table = table.rename_columns(names)
    return table if described == (table.schema.metadata or {}) else table.replace_schema_metadata(described)


def _shows(column: pa.ChunkedArray, probe: str) -> bool:
    import pyarrow.compute as pc

    texts = (text for chunk in column.chunks for text in _texts(chunk))
    return any(pc.any(pc.match_substring_regex(text, probe)).as_py() for text in texts)


def _texts(array: pa.Array) -> Iterator[pa.Array]:
    """The arrays of text or bytes that an array consists of, at any depth."""
    import pyarrow as pa
    from pyarrow import types

    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _texts(array.storage)
    elif types.is_dictionary(kind):
        yield from _texts(array.dictionary)
    elif types.is_struct(kind):
        for each in array.flatten():
            yield from _texts(each)
    elif types.is_map(kind):
        yield from _texts(array.keys)
        yield from _texts(array.items)
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        yield from _texts(array.flatten())
    elif types.is_string_view(kind) or types.is_binary_view(kind):
        yield array.cast(pa.large_string() if types.is_string_view(kind) else pa.large_binary())
    elif types.is_fixed_size_binary(kind):
        yield array.cast(pa.binary())
    elif _is_text(kind):
        yield array


def _is_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _anew(column: pa.ChunkedArray, mask: Hiding) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([pa.array(mask.value(column.to_pylist()), type=column.type)], type=column.type)
