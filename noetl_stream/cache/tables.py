"""Tables as Arrow IPC files: written and hashed in one pass, in chunks that leave the disk to others in between.

Whoever imports this loads Arrow, so it is imported with the first table.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from noetl_stream.cache.hashed import HashedFile
from noetl_stream.cache.stored import Compression, Stored
from noetl_stream.errors import DamagedResult

ROWS_A_BATCH = 131_072


def write_table(path: Path, table: pa.Table, compression: Compression = None) -> Stored:
    """Write an Arrow IPC file that polars, duckdb and pyarrow all map."""
    table = portable(table).unify_dictionaries()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with HashedFile(path) as file:
        with pa.ipc.new_file(pa.PythonFile(file, mode="w"), table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=ROWS_A_BATCH)
        digest = file.hexdigest()
    return Stored(
        bytes=file.bytes,
        sha256=digest,
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


def open_table(path: Path) -> pa.Table:
    """The table of an Arrow IPC file, memory-mapped.

    Raises:
        DamagedResult: the file is not what was written.
    """
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except pa.ArrowInvalid as error:
        raise DamagedResult(f"{path.name} in the cache is damaged ({error})") from error
