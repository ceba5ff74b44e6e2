"""The shared cache as blocks see it: write once under a derived key, read by reference, never overwrite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from noetl_stream.core.events import BlockId
from noetl_stream.core.values import Ref, Value

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameKey:
    """Where a result lives: scoped by execution, block and attempt. The content's hash completes it when written."""

    execution: int
    block: BlockId
    attempt: int
    name: str = "result"


class Frame(Protocol):
    """A table by reference. In templates it is a list of rows; tools take it whole, without copying."""

    ref: Ref

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Mapping[str, Value]: ...
    def __iter__(self) -> Iterator[Mapping[str, Value]]: ...
    def arrow(self) -> pa.Table:
        """The table, memory-mapped where the store is local: nothing is copied until a column is computed on."""
        ...

    def polars(self) -> pl.LazyFrame:
        """A lazy scan over the same bytes."""
        ...

    def path(self) -> Path:
        """A local Arrow IPC file with these bytes, for a subprocess to map. Valid while the block runs."""
        ...


class Cache(Protocol):
    """Immutable objects by reference.

    Writing the same key and content twice is one object; two contents under one key are two objects. A write is
    visible whole or not at all. Raises InfrastructureError if the store cannot be reached, ToolError(kind="client_error")
    naming the reference if an object is gone.
    """

    @property
    def kind(self) -> str:
        """Where it keeps what is large: `disk`, `s3`, `gcs`, or `object` for any other store."""
        ...

    @property
    def place(self) -> str:
        """Its path, or the URL of its store."""
        ...

    async def put_table(
        self, key: FrameKey, table: pa.Table, parts: Mapping[str, Value] | None = None
    ) -> Ref: ...
    async def put_json(
        self, key: FrameKey, value: Value, parts: Mapping[str, Value] | None = None
    ) -> Ref: ...
    async def frame(self, ref: Ref) -> Frame:
        """Open a table; remote bytes are brought to the local tier first."""
        ...

    async def json(self, ref: Ref) -> Value: ...
    async def create(self, name: str, content: bytes) -> bool:
        """Create-if-absent, for claims: False if other content was there first. The same content asks again, and has won."""
        ...

    async def read(self, name: str) -> bytes:
        """The content that `create` stored under this name; ToolError(kind="client_error") if there is none."""
        ...

    async def expire(self, key: FrameKey, refs: Iterable[Ref], moment: float) -> None:
        """Note that those of `refs` which this attempt wrote may go from `moment` (seconds since the epoch) on.

        They stay until somebody sweeps.
        """
        ...

    async def close(self) -> None: ...


class Sweepable(Cache, Protocol):
    """A cache as whoever sweeps it sees it: objects by their names, notes of those that may go among them.

    Raises InfrastructureError if the store cannot be reached.
    """

    def names(self, under: str = "") -> AsyncIterator[str]:
        """The names that begin with a folder's path, or all, in any order."""
        ...

    async def remove(self, names: Sequence[str]) -> None:
        """Remove these; one that is gone already is none of our business."""
        ...
