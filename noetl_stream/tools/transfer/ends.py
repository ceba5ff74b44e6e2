"""What is at either end of a transfer: a source that yields batches of rows, a target that takes them all or none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

from noetl_stream.tools.transfer.once import Summary


class Source(Protocol):
    """Where rows come from. Used by one thread at a time; only `stop` is called from another.

    Beside Arrow's own types a schema may have `arrow.uuid` and `arrow.json`. All methods raise ToolError.
    """

    said: str
    """What it is, without its address, for the result and for errors."""

    def open(self) -> pa.Schema:
        """Connect, and tell which columns there are."""
        ...

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """All rows, about so many at once."""
        ...

    def stop(self) -> None:
        """End what runs outside. May be called at any moment, again and again."""
        ...

    def close(self) -> None: ...


class Target(Protocol):
    """Where rows go. What `write` did not finish is not there, as far as the target can take it back."""

    said: str

    def open(self, schema: pa.Schema) -> pa.Schema:
        """Connect, and tell the types in which it takes these columns, in the same order.

        Raises:
            Happened: it keeps keys of effects, and this one has happened.
        """
        ...

    def write(self, rows: pa.RecordBatchReader, summary: Summary) -> None:
        """Take them all, and make them lasting, with what `summary` then tells where it keeps keys of effects.

        What the reader raises leaves as it likes: the caller knows it.
        """
        ...

    def stop(self) -> None: ...

    def close(self) -> None: ...
