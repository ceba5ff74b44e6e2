"""Tables inside a child: lazily a list of rows, a Polars frame or an Arrow table, mapped from the file that holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsIndex, overload

ROWS_AT_ONCE = 1024


class Rows:
    """A table as a sequence of mappings. Whatever else is asked of it, a Polars frame over the same bytes answers."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._table.to_batches(max_chunksize=ROWS_AT_ONCE):
            yield from batch.to_pylist()

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
        return self._table.slice(index % len(self), 1).to_pylist()[0]

    def __eq__(self, other: object) -> bool:
        return list(self) == (list(other) if isinstance(other, Rows) else other)

    __hash__ = None  # type: ignore[assignment]

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


OPENERS: dict[str, Callable[[str], Any]] = {
    "rows": Rows,
    "list": lambda path: list(Rows(path)),
    "polars": lambda path: Rows(path).polars(),
    "arrow": lambda path: Rows(path).arrow(),
}


class Spill:
    """Writes each table of a result as the next Arrow IPC file of `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.count = 0

    def __call__(self, item: Any) -> int | None:
        """The table's number, or None if `item` is no table. Lazy frames run on the streaming engine into the file."""
        write = _writer(item)
        if write is None:
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        write(self._folder / f"{self.count}.arrow")
        self.count += 1
        return self.count - 1


def _writer(item: Any) -> Callable[[Path], Any] | None:
    if isinstance(item, Rows):
        return lambda path: _write_arrow(item, path)
    if hasattr(item, "sink_ipc"):
        return lambda path: item.sink_ipc(path, compat_level=_compatible(), engine="streaming")
    if hasattr(item, "write_ipc"):
        return lambda path: item.write_ipc(path, compat_level=_compatible())
    if hasattr(item, "__arrow_c_stream__") and hasattr(item, "columns"):
        return lambda path: _write_arrow(item, path)
    return None


def _compatible() -> Any:
    """String views are not read everywhere."""
    import polars as pl

    return pl.CompatLevel.oldest()


def _write_arrow(item: Any, path: Path) -> None:
    import pyarrow as pa

    table = pa.table(item).unify_dictionaries()
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def plain(item: Any) -> Any:
    """JSON for what has an obvious one: a decimal is a number if that is exact, a column is a list."""
    if isinstance(item, Decimal):
        number = float(item)
        return number if Decimal(repr(number)) == item else str(item)
    if is_dataclass(item):
        return {field.name: getattr(item, field.name) for field in fields(item)}
    for listing in ("to_list", "to_pylist", "tolist"):
        if hasattr(item, listing):
            return getattr(item, listing)()
    raise TypeError(
        f"the result holds a {type(item).__name__}, which is not JSON; "
        "return mappings, lists, text, numbers, a Polars frame or an Arrow table"
    )
