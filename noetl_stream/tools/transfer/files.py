"""Files at either end: as a source one or several, as a target one that appears whole, or one more in a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import pyarrow as pa

from noetl_stream.errors import ToolError
from noetl_stream.tools.transfer.columns import plain_type
from noetl_stream.tools.transfer.config import FileEnd, Mode
from noetl_stream.tools.transfer.formats import (
    CsvReader,
    CsvWriter,
    JsonReader,
    JsonWriter,
    ParquetReader,
    ParquetWriter,
    Reader,
    Writer,
    csv_type,
)
from noetl_stream.tools.transfer.once import Summary
from noetl_stream.tools.transfer.stores import Store
from noetl_stream.tools.transfer.type_names import named_types

_READERS: Final[Mapping[str, Callable[[Any, Mapping[str, pa.DataType]], Reader]]] = {
    "parquet": ParquetReader,
    "csv": CsvReader,
    "json": JsonReader,
}
_COPIED: Final = 1 << 20


@contextmanager
def reading(said: str) -> Iterator[None]:
    """What Arrow says of a file that is not what it is called, or whose values change their type, as a task's error."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise ToolError(
            f"{said}: {str(error).partition(chr(10))[0]}; check the file, or say the column's type in `types`",
            kind="validation",
        ) from error


class FileSource:
    """One file, or several of the same columns one after the other."""

    def __init__(self, end: FileEnd, store: Store, said: str) -> None:
        self.said = said
        self._end, self._store = end, store
        self._stop = threading.Event()

    def open(self) -> pa.Schema:
        self._types = named_types(self._end.types, self.said)
        self._names = self._store.matching(self._end.path)
        with self._reader(self._names[0]) as reader:
            self._schema: pa.Schema = reader.schema
        return self._schema

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        for name in self._names:
            with self._reader(name) as reader:
                self._check(name, reader.schema)
                for batch in reader.batches(rows):
                    if self._stop.is_set():
                        return
                    yield batch

    def stop(self) -> None:
        self._stop.set()
        self._store.stop()

    def close(self) -> None:
        return None

    @contextmanager
    def _reader(self, name: str) -> Iterator[Reader]:
        with self._store.reading(name) as file, reading(self.said):
            yield _READERS[self._end.kind](file, self._types)

    def _check(self, name: str, schema: pa.Schema) -> None:
        lacking = [each for each in self._schema.names if each not in schema.names]
        if lacking:
            raise ToolError(
                f"{self.said}: '{name}' has no column '{lacking[0]}', which '{self._names[0]}' has; "
                "name files of the same columns",
                kind="validation",
            )


class FileTarget:
    """A file, written anew: of rows that are appended to it, the old ones are copied first."""

    def __init__(self, end: FileEnd, mode: Mode, store: Store, part: str, said: str) -> None:
        """`part` names this transfer's own file in a folder: the same when it is run again."""
        self.said = said
        self._end, self._mode, self._store = end, mode, store
        self._folder = end.path.endswith("/")
        self._name = f"{end.path}{part}.{end.kind}" if self._folder else end.path

    def open(self, schema: pa.Schema) -> pa.Schema:
        kept = self._kept()
        if kept and self._end.kind == "parquet":
            return self._of_the_old(schema)
        if self._end.kind == "csv":
            return pa.schema([(field.name, csv_type(field.type)) for field in schema])
        return schema

    def write(self, rows: pa.RecordBatchReader, summary: Summary) -> None:
        others = self._others()
        with (
            reading(self.said),
            self._store.writing(self._name) as file,
            closing(self._writer(file, rows.schema)) as writer,
        ):
            for batch in rows:
                writer.write(batch)
        for name in others:
            self._store.remove(name)

    def stop(self) -> None:
        self._store.stop()

    def close(self) -> None:
        return None

    def _kept(self) -> bool:
        """Whether the file has rows that stay."""
        return self._mode == "append" and not self._folder and self._store.exists(self._name)

    def _others(self) -> list[str]:
        """What of a folder is replaced: gone once the new file is there."""
        if self._mode != "replace" or not self._folder:
            return []
        with suppress(ToolError):
            return [name for name in self._store.matching(self._end.path) if name != self._name]
        return []

    def _writer(self, file: Any, schema: pa.Schema) -> Writer:
        kept = self._kept()
        match self._end.kind:
            case "parquet":
                writer = ParquetWriter(file, schema, self._end.compression)
                if kept:
                    self._copy_rows(writer, schema)
                return writer
            case "csv":
                if kept:
                    self._copy_bytes(file)
                return CsvWriter(file, schema, header=not kept)
            case "json":
                if kept:
                    self._copy_bytes(file)
                return JsonWriter(file)

    def _of_the_old(self, schema: pa.Schema) -> pa.Schema:
        with self._store.reading(self._name) as file, reading(self.said):
            old = ParquetReader(file, {}).schema
        if set(old.names) != set(schema.names):
            raise ToolError(
                f"{self.said}: it has the columns {', '.join(old.names)}, and {', '.join(schema.names)} come; "
                "map them, or use `mode: replace`",
                kind="validation",
            )
        return pa.schema([(name, plain_type(old.field(name).type)) for name in schema.names])

    def _copy_rows(self, writer: ParquetWriter, schema: pa.Schema) -> None:
        with self._store.reading(self._name) as file:
            for batch in ParquetReader(file, {}).batches(65_536):
                writer.write(batch.select(schema.names).cast(schema))

    def _copy_bytes(self, file: Any) -> None:
        with self._store.reading(self._name) as old:
            last = b"\n"
            while found := old.read(_COPIED):
                file.write(found)
                last = found[-1:]
            if last != b"\n":
                file.write(b"\n")
