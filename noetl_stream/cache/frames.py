"""A table by reference: a list of rows to templates, an Arrow table, a lazy Polars scan or a file to tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from noetl_stream.core.values import Ref, Value

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_ROWS_AT_ONCE = 1024


class MappedFrame:
    """A `ports.frames.Frame` over a local Arrow IPC file.

    An uncompressed file is memory-mapped: nothing is copied until a column is computed on.
    """

    def __init__(self, ref: Ref, path: Path) -> None:
        self.ref = ref
        self._path = path

    def __len__(self) -> int:
        return int(self._table.num_rows) if self.ref.rows is None else self.ref.rows

    def __getitem__(self, index: int) -> Mapping[str, Value]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        found = self._table.slice(index % len(self), 1).to_pylist(maps_as_pydicts="lossy")
        row: Mapping[str, Value] = found[0]
        return row

    def __iter__(self) -> Iterator[Mapping[str, Value]]:
        for batch in self._table.to_batches(max_chunksize=_ROWS_AT_ONCE):
            yield from batch.to_pylist(maps_as_pydicts="lossy")

    def arrow(self) -> pa.Table:
        return self._table

    def polars(self) -> pl.LazyFrame:
        import polars as pl

        return pl.scan_ipc(self._path, glob=False, hive_partitioning=False)

    def path(self) -> Path:
        return self._path

    @cached_property
    def _table(self) -> pa.Table:
        from noetl_stream.cache.tables import open_table

        return open_table(self._path)
