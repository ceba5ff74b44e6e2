"""Values of records: JSON, Avro, text or bytes, and how many of them are a table."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import fastavro
import orjson
import pyarrow as pa
from fastavro.schema import SchemaParseException, UnknownType, fingerprint, to_parsing_canonical_form

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.log import Record
from noetl_stream.tools.kafka.config import Format
from noetl_stream.tools.tables import table_of

_MARK: Final = b"\xc3\x01"
_HEAD: Final = 10
_HEADERS: Final = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))


def rows_of(values: Any) -> list[Any]:
    """Many values: the rows of a table, or the items of a list.

    Raises:
        ToolError: they are neither.
    """
    if isinstance(values, list | tuple):
        return list(values)
    table = table_of("values", values)
    if table is None:
        raise ToolError("`values` is neither a table nor a list; give it one of them", kind="validation")
    rows: list[Any] = table.to_pylist()
    return rows


def encoder(format: Format, schema: Any) -> Callable[[Any], bytes | None]:
    """What makes a value's bytes; it raises ToolError for a value that the format has no place for.

    Raises:
        ToolError: the schema is none.
    """
    match format:
        case "json":
            return _json
        case "text":
            return lambda value: None if value is None else str(value).encode()
        case "bytes":
            return _unbased
        case "avro":
            parsed = _parsed(schema)
            return partial(_avro, parsed, _MARK + _fingerprint(parsed))


def text_key(key: Value) -> bytes | None:
    """Text as it is, anything else as JSON."""
    return None if key is None else key.encode() if isinstance(key, str) else _json(key)


def decoder(format: Format, schema: Any) -> Callable[[bytes | None], Any]:
    """The way back; it raises ValueError for bytes that are no such thing."""
    match format:
        case "json":
            return lambda raw: None if raw is None else orjson.loads(raw)
        case "text":
            return lambda raw: None if raw is None else raw.decode()
        case "bytes":
            return lambda raw: raw
        case "avro":
            parsed = _parsed(schema)
            return partial(_read_avro, parsed, _MARK + _fingerprint(parsed))


def decoded(record: Record, decode: Callable[[bytes | None], Any], format: Format) -> Any:
    """A record's value.

    Raises:
        ToolError: it is not in this format.
    """
    try:
        return decode(record.value)
    except (ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise ToolError(
            f"{record.topic}[{record.partition}]@{record.offset} does not read as {format} ({error}); "
            "say its `format`, or begin after it",
            kind="validation",
            code="unreadable_record",
        ) from error


def table_from(records: Sequence[Record], values: Sequence[Any]) -> pa.Table:
    """A column for each field of the values, or `value`; and for each record where it stood."""
    fields = _columns(values)
    place = {
        "_topic": pa.array([r.topic for r in records], pa.string()),
        "_partition": pa.array([r.partition for r in records], pa.int32()),
        "_offset": pa.array([r.offset for r in records], pa.int64()),
        "_timestamp": pa.array([r.timestamp for r in records], pa.timestamp("ms", "UTC")),
        "_key": _keys([r.key for r in records]),
        "_headers": pa.array(
            [[{"name": name, "value": value} for name, value in r.headers] for r in records], _HEADERS
        ),
    }
    return pa.table({**fields, **place})


def _columns(values: Sequence[Any]) -> dict[str, pa.ChunkedArray | pa.Array]:
    # A tombstone is a row without fields.
    if any(isinstance(v, dict) for v in values) and all(isinstance(v, dict | None) for v in values):
        table = table_of("values", [v or {} for v in values])
        return {} if table is None else {name: table.column(name) for name in table.column_names}
    try:
        return {"value": pa.array(values)} if values else {}
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return {"value": pa.array([None if v is None else orjson.dumps(v).decode() for v in values])}


def _keys(keys: Sequence[bytes | None]) -> pa.Array:
    """Text if all of them are."""
    try:
        return pa.array([None if key is None else key.decode() for key in keys], pa.string())
    except UnicodeDecodeError:
        return pa.array(keys, pa.binary())


def _json(value: Any) -> bytes | None:
    try:
        return None if value is None else orjson.dumps(value, default=str)
    except TypeError as error:
        raise _unfit("json", error) from error


def _unbased(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise _unfit("bytes", error) from error


def _avro(schema: Any, head: bytes, value: Any) -> bytes | None:
    """In Avro's single-object encoding, whose head says by which schema it was written."""
    if value is None:
        return None
    buffer = io.BytesIO()
    try:
        fastavro.schemaless_writer(buffer, schema, value)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise _unfit("avro", error) from error
    return head + buffer.getvalue()


def _fingerprint(schema: Any) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _read_avro(schema: Any, mark: bytes, raw: bytes | None) -> Any:
    """A value with a head must have been written by this very schema; one without is taken at its word."""
    if raw is None:
        return None
    if not raw.startswith(_MARK):
        return fastavro.schemaless_reader(io.BytesIO(raw), schema, None)
    if raw[:_HEAD] != mark:
        raise ValueError(
            f"its writer's schema has the fingerprint {raw[len(_MARK) : _HEAD].hex()}, `avro_schema` "
            f"{mark[len(_MARK) :].hex()}"
        )
    return fastavro.schemaless_reader(io.BytesIO(raw[_HEAD:]), schema, None)


def _parsed(schema: Any) -> Any:
    try:
        return fastavro.parse_schema(orjson.loads(schema) if isinstance(schema, str) else schema)
    except (SchemaParseException, UnknownType, ValueError, TypeError, KeyError) as error:
        raise ToolError(
            f"`avro_schema` is no Avro schema ({error}); correct it", kind="validation"
        ) from error


def _unfit(format: str, error: Exception) -> ToolError:
    return ToolError(
        f"a value cannot be written as {format} ({error}); give it another form", kind="validation"
    )
