"""A table as templates read it: rows of JSON, the same whether they came inline, in a reference's parts or from the cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from noetl_stream.core.values import Ref, Value
from noetl_stream.dsl.native import native
from noetl_stream.ports.frames import Frame

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


class JsonRows:
    """A `ports.frames.Frame` whose rows hold no dates or decimals; tools take the table itself, types and all."""

    def __init__(self, frame: Frame) -> None:
        self.ref: Ref = frame.ref
        self._frame = frame

    def __len__(self) -> int:
        return len(self._frame)

    def __getitem__(self, index: int) -> Mapping[str, Value]:
        row: Mapping[str, Value] = native(self._frame[index])
        return row

    def __iter__(self) -> Iterator[Mapping[str, Value]]:
        return map(native, self._frame)

    def arrow(self) -> pa.Table:
        return self._frame.arrow()

    def polars(self) -> pl.LazyFrame:
        return self._frame.polars()

    def path(self) -> Path:
        return self._frame.path()
