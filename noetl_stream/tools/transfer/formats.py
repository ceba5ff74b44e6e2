"""Files of rows: Parquet, CSV and JSON lines, read and written a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Protocol

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from noetl_stream.errors import ToolError
from noetl_stream.tools.transfer.columns import JSON, UUID, is_nested
from noetl_stream.tools.transfer.texts import base64_texts, check_finite, json_bytes

_BLOCK = 1 << 22
_ROW_GROUP_BYTES = 1 << 26


class Reader(Protocol):
    schema: pa.Schema

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]: ...


class ParquetReader:
    def __init__(self, file: BinaryIO, types: Mapping[str, pa.DataType]) -> None:
        self._file = pq.ParquetFile(file, pre_buffer=False)
        self.schema = self._file.schema_arrow

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        yield from self._file.iter_batches(rows)


class CsvReader:
    """Types are guessed from the first four megabytes, but for those that are given."""

    def __init__(self, file: BinaryIO, types: Mapping[str, pa.DataType]) -> None:
        self._reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
        self.schema = self._reader.schema

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        yield from sliced(self._reader, rows)


class JsonReader:
    """One object a line."""

    def __init__(self, file: BinaryIO, types: Mapping[str, pa.DataType]) -> None:
        self._reader = pyarrow.json.open_json(
            file,
            read_options=pyarrow.json.ReadOptions(block_size=_BLOCK),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=pa.schema(list(types.items())) if types else None,
                newlines_in_values=False,
                unexpected_field_behavior="infer",
            ),
        )
        self.schema = self._reader.schema

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        yield from sliced(self._reader, rows)


def sliced(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for first in range(0, batch.num_rows, rows):
            yield batch.slice(first, rows)


class Writer(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


class ParquetWriter:
    """Row groups of about 64 MB, however many rows travel at once."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, compression: str | None) -> None:
        self._writer = pq.ParquetWriter(file, schema, compression=compression or "zstd")
        self._schema, self._held, self._bytes = schema, list[pa.RecordBatch](), 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, self._schema), row_group_size=1 << 30)
        self._held, self._bytes = [], 0


class CsvWriter:
    """Null is nothing between two commas, empty text two quotation marks, bytes base64."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, *, header: bool) -> None:
        schema = csv_batch(pa.RecordBatch.from_pylist([], schema)).schema
        options = pyarrow.csv.WriteOptions(include_header=header, quoting_style="needed")
        self._writer = pyarrow.csv.CSVWriter(file, schema, write_options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(csv_batch(batch))

    def close(self) -> None:
        self._writer.close()


class JsonWriter:
    """One object a line; a json column is itself, not its text."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write(b"".join(json_bytes(row) + b"\n" for row in json_rows(batch)))

    def close(self) -> None:
        return None


def json_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows as `json_bytes` takes them.

    Raises:
        ToolError: a number is none in JSON.
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            check_finite(column)
        except ValueError as error:
            raise ToolError(
                f"column '{name}': {error}; cast it to text in the source", kind="validation"
            ) from error
    columns = {
        field.name: [_fragment(each) for each in column.storage.to_pylist()]
        if field.type == JSON
        else column.to_pylist()
        for field, column in zip(batch.schema, batch.columns, strict=True)
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _fragment(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)


def csv_type(kind: pa.DataType) -> pa.DataType:
    """What a CSV holds of a type: what Arrow does not write there is text that we make."""
    odd = kind in (JSON, UUID) or is_nested(kind) or pa.types.is_duration(kind) or pa.types.is_interval(kind)
    return pa.string() if odd else kind


def csv_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Bytes as base64."""
    arrays = [base64_texts(each) if pa.types.is_binary(each.type) else each for each in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
