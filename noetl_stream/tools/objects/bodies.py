"""From a value to an object's bytes and back: text, JSON, bytes, and tables as files."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl
import pyarrow as pa
from polars.exceptions import PolarsError
from pyarrow import ipc
from pyarrow import parquet as pq

from noetl_stream.errors import ToolError
from noetl_stream.tools.objects.config import Format, format_of
from noetl_stream.tools.tables import table_of

CONTENT_TYPES: Final[dict[Format, str]] = {
    "text": "text/plain; charset=utf-8",
    "json": "application/json",
    "bytes": "application/octet-stream",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
}


def chosen(format: Format | None, key: str, body: Any) -> Format:
    """The format to write in: as it was said, by the key's ending, else by what the body is."""
    if format is not None:
        return format
    ending = format_of(key)
    match body:
        case str():
            return "text"
        case bytes():
            return "bytes"
        case _ if ending is not None and ending != "text":
            return ending
        case dict() | list() | int() | float() | bool():
            return "json"
        case _:
            return "parquet"


def encoded(body: Any, format: Format) -> bytes:
    """The bytes of what is no table.

    Raises:
        ToolError: the body cannot be written so.
    """
    match format, body:
        case _, bytes():
            return body
        case "bytes", str():
            return _unbased(body)
        case "json", _ if not isinstance(body, str):
            return _json(body)
        case _, str():
            return body.encode()
        case _:
            raise _unwritable(format, "give it text")


def write_table(body: Any, format: Format, path: Path) -> None:
    """Write a table to a file.

    Raises:
        ToolError: the body is no table, or the format has no place for one of its types.
    """
    table = table_of("body", body)
    if table is None:
        raise _unwritable(format, "give it rows: a table, a list of mappings or a mapping of columns")
    try:
        _write(table, format, path)
    except (pa.ArrowException, PolarsError) as error:
        raise ToolError(f"the table cannot be written as {format} ({error})", kind="validation") from error


def read_table(path: Path, format: Format, place: str) -> pa.Table:
    """The table in a file.

    Raises:
        ToolError: it holds none.
    """
    readers: dict[str, Callable[[Path], pa.Table]] = {
        "parquet": pq.read_table,
        "arrow": _read_arrow,
        "csv": lambda file: pl.scan_csv(file, try_parse_dates=True).collect(engine="streaming").to_arrow(),
        "jsonl": lambda file: pl.scan_ndjson(file).collect(engine="streaming").to_arrow(),
    }
    try:
        return readers[format](path)
    except (pa.ArrowException, PolarsError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0].replace(str(path), place)
        raise ToolError(
            f"{place} does not read as {format} ({reason}); say its `format`", kind="validation"
        ) from error


def decoded(content: bytes, format: Format, place: str) -> Any:
    """Text, JSON, or bytes as base64 text.

    Raises:
        ToolError: the content is no such thing.
    """
    try:
        match format:
            case "json":
                return orjson.loads(content)
            case "text":
                return content.decode()
            case _:
                return base64.b64encode(content).decode()
    except ValueError as error:
        raise ToolError(
            f"{place} does not read as {format} ({error}); say its `format`, `bytes` for one",
            kind="validation",
        ) from error


def _read_arrow(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        return ipc.open_file(file).read_all()


def _write(table: pa.Table, format: Format, path: Path) -> None:
    match format:
        case "parquet":
            pq.write_table(table, path, compression="zstd")
        case "arrow":
            with ipc.new_file(path, table.schema) as file:
                file.write_table(table)
        case "csv":
            _frame(table).write_csv(path)
        case _:
            _frame(table).write_ndjson(path)


def _frame(table: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame), "a table is a frame"
    return found


def _unbased(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unwritable("bytes", f"give it base64 text ({error})") from error


def _json(body: Any) -> bytes:
    try:
        return orjson.dumps(body, default=str)
    except TypeError as error:
        raise _unwritable("json", f"give it JSON ({error})") from error


def _unwritable(format: str, step: str) -> ToolError:
    return ToolError(f"the body cannot be written as {format}; {step}", kind="validation")
