"""Tables inside a child: rows of JSON, a Polars frame or an Arrow table, mapped from the file that holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, SupportsIndex, overload

from noetl_stream.tools.warm.values import as_json

ROWS_AT_ONCE = 1024
LISTED = 10_000
"""A table of up to so many rows arrives as a list that holds them; a larger one reads them as they are asked for."""


class Mapped:
    """A table in a mapped file, in every form that code may ask for."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._frame, name)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def arrow(self) -> Any:
        """A `pyarrow.Table`; nothing is copied."""
        return self._table

    def polars(self) -> Any:
        """A `polars.DataFrame`."""
        return self._frame

    def lazy(self) -> Any:
        """A `polars.LazyFrame` that scans the file."""
        import polars as pl

        return pl.scan_ipc(self._path, glob=False, hive_partitioning=False)

    @cached_property
    def _table(self) -> Any:
        import pyarrow as pa

        return pa.ipc.open_file(pa.memory_map(self._path)).read_all()

    @cached_property
    def _frame(self) -> Any:
        return self.lazy().collect()


class Rows(Mapped):
    """A table as a sequence of mappings. Whatever else is asked of it, a Polars frame over the same bytes answers."""

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._table.to_batches(max_chunksize=ROWS_AT_ONCE):
            yield from as_json(batch)

    @overload
    def __getitem__(self, key: SupportsIndex) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> list[dict[str, Any]]: ...
    @overload
    def __getitem__(self, key: str) -> Any: ...
    def __getitem__(self, key: SupportsIndex | slice | str) -> Any:
        if isinstance(key, slice):
            return [self[index] for index in range(*key.indices(len(self)))]
        if isinstance(key, str):
            return self._frame[key]
        index = key.__index__()
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return as_json(self._table.slice(index % len(self), 1))[0]

    def __eq__(self, other: object) -> bool:
        return list(self) == (list(other) if isinstance(other, Rows) else other)

    __hash__ = None  # type: ignore[assignment]


class ListedRows(Mapped, list[dict[str, Any]]):
    """A small table as the list of its rows, and a Polars frame where no list would answer."""

    def __init__(self, path: str) -> None:
        Mapped.__init__(self, path)
        list.__init__(self, as_json(self._table))

    def __getitem__(self, key: Any) -> Any:
        return self._frame[key] if isinstance(key, str) else list.__getitem__(self, key)


def rows(path: str) -> Rows | ListedRows:
    """A table as its rows: a list if that is small."""
    lazily = Rows(path)
    return lazily if len(lazily) > LISTED else ListedRows(path)


OPENERS: dict[str, Callable[[str], Any]] = {
    "rows": rows,
    "mapped": Rows,
    "list": lambda path: list(Rows(path)),
    "polars": lambda path: Rows(path).polars(),
    "arrow": lambda path: Rows(path).arrow(),
}
