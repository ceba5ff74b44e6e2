"""How values become stored bytes: one pass that writes and hashes, in chunks that leave the disk to others in between."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import orjson
import pyarrow as pa

from noetl_stream.cache.names import Format, object_name, uri
from noetl_stream.core.values import Ref, Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import FrameKey

Compression: TypeAlias = Literal["lz4", "zstd"] | None

ROWS_A_BATCH = 131_072
_FLUSH_BYTES = 8 << 20
_REF = "$noetl.ref"
_sync = getattr(os, "fdatasync", os.fsync)  # not every system has the cheaper one


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes about to get their name. `rows` and `schema` are set for tables."""

    bytes: int
    sha256: str
    format: Format
    rows: int | None = None
    schema: str | None = None

    def name(self, key: FrameKey) -> str:
        return object_name(key, self.sha256, self.format)

    def ref(self, key: FrameKey, parts: Mapping[str, Value] | None) -> Ref:
        return Ref(
            uri=uri(self.name(key)),
            bytes=self.bytes,
            sha256=self.sha256,
            format=self.format,
            rows=self.rows,
            schema=self.schema,
            parts=parts or {},
        )


class _Hashed:
    """A file that hashes what passes and syncs every few megabytes, so that no backlog delays the log's own sync."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, sha256()
        self.bytes = self._synced = 0

    def write(self, chunk: Any) -> int:
        view = memoryview(chunk).cast("B")
        for start in range(0, len(view), _FLUSH_BYTES):
            self._put(view[start : start + _FLUSH_BYTES])
        return len(view)

    def _put(self, view: memoryview) -> None:
        self._digest.update(view)
        self._file.write(view)
        self.bytes += len(view)
        if self.bytes - self._synced >= _FLUSH_BYTES:
            self._file.flush()
            _sync(self._file.fileno())
            self._synced = self.bytes

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.flush()


def write_table(path: Path, table: pa.Table, compression: Compression = None) -> Stored:
    """Write an Arrow IPC file that polars, duckdb and pyarrow all map."""
    table = portable(table).unify_dictionaries()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with path.open("wb") as file:
        sink = _Hashed(file)
        with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=ROWS_A_BATCH)
    return Stored(
        bytes=sink.bytes,
        sha256=sink.hexdigest(),
        format="arrow",
        rows=table.num_rows,
        schema=fingerprint(table.schema),
    )


def fingerprint(schema: pa.Schema) -> str:
    """16 hex digits that are equal for equal columns: names, types and order, without metadata."""
    plain = pa.schema([field.remove_metadata() for field in schema])
    return sha256(plain.serialize()).hexdigest()[:16]


def portable(table: pa.Table) -> pa.Table:
    """The table without string and binary views, which not every reader takes."""
    fields = [field.with_type(_portable_type(field.type)) for field in table.schema]
    schema = pa.schema(fields, metadata=table.schema.metadata)
    return table if schema.equals(table.schema) else table.cast(schema)


def _portable_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_portable_type(f.type)) for f in kind])
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_portable_type(kind.value_type)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_portable_type(kind.value_type)))
    return kind


def encode_json(value: Value) -> bytes:
    """`{"refs": […], "value": …}`: references stand beside the value, which names them by index.

    Raises:
        ToolError: the value is not JSON.
    """
    refs: list[Ref] = []

    def beside(item: object) -> dict[str, int]:
        if not isinstance(item, Ref):
            raise TypeError(f"a {type(item).__name__} is not JSON")
        refs.append(item)
        return {_REF: len(refs) - 1}

    try:
        body = orjson.dumps(value, default=beside, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError as error:
        reason = error.__cause__ or error
        raise ToolError(
            f"the result cannot be stored: {reason}; return JSON or a table", kind="validation"
        ) from error
    return b'{"refs":' + orjson.dumps(refs) + b',"value":' + body + b"}"


def decode_json(content: bytes) -> Value:
    """What `encode_json` was given."""
    stored = orjson.loads(content)
    refs = [Ref(**fields) for fields in stored["refs"]]
    return _restored(stored["value"], refs) if refs else stored["value"]


def _restored(value: Value, refs: list[Ref]) -> Value:
    match value:
        case {"$noetl.ref": int(index)} if len(value) == 1 and index < len(refs):
            return refs[index]
        case dict():
            return {key: _restored(item, refs) for key, item in value.items()}
        case list():
            return [_restored(item, refs) for item in value]
        case _:
            return value


def stored_json(content: bytes) -> Stored:
    """Encoded JSON, measured."""
    return Stored(bytes=len(content), sha256=sha256(content).hexdigest(), format="json")
