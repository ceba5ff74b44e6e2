"""A table of the task's inputs as a source; as a target a table of its result, held in a file that nobody else sees."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping

import pyarrow as pa

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools.tables import table_of
from noetl_stream.tools.transfer.columns import JSON, UUID
from noetl_stream.tools.transfer.once import Summary


class FrameSource:
    def __init__(self, inputs: Mapping[str, Value], name: str | None, said: str) -> None:
        self.said = said
        self._inputs, self._name = inputs, name

    def open(self) -> pa.Schema:
        name = self._name or self._only()
        if name not in self._inputs:
            raise self._refused(f"there is no input '{name}'; name it under `input`")
        table = table_of(name, self._inputs[name])
        if table is None:
            raise self._refused(f"input '{name}' is no table; give it a frame, or a list of rows")
        self._table = table
        return table.schema

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        yield from self._table.to_batches(rows)

    def stop(self) -> None:
        return None

    def close(self) -> None:
        return None

    def _only(self) -> str:
        if len(self._inputs) != 1:
            names = ", ".join(self._inputs) or "none"
            raise self._refused(f"the inputs are {names}; say in `name` which one is meant")
        return next(iter(self._inputs))

    def _refused(self, why: str) -> ToolError:
        return ToolError(f"{self.said}: {why}", kind="validation")


class FrameTarget:
    """Its rows are mapped from a file, so that memory holds a few batches, however many there are."""

    said = "frame"

    def __init__(self) -> None:
        self.table: pa.Table | None = None

    def open(self, schema: pa.Schema) -> pa.Schema:
        return pa.schema(
            [(field.name, pa.string() if field.type in (UUID, JSON) else field.type) for field in schema]
        )

    def write(self, rows: pa.RecordBatchReader, summary: Summary) -> None:
        with tempfile.NamedTemporaryFile(prefix="noetl-transfer-", suffix=".arrow") as file:
            with pa.ipc.new_file(file, rows.schema) as writer:
                for batch in rows:
                    writer.write_batch(batch)
            file.flush()
            # Mapped, its bytes stay for as long as the table does; its name goes.
            self.table = pa.ipc.open_file(pa.memory_map(file.name)).read_all()

    def stop(self) -> None:
        return None

    def close(self) -> None:
        return None
