"""Kafka's wire format, by kio: frames become requests, plain mappings become response bytes.

Entities differ by version; a service answers one mapping with every field it knows, and what a version lacks is
left out here. Schemas are loaded when a client first uses them, so that starting costs nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import io
import struct
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from kio.index import load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.serial import entity_writer

from noetl_stream.broker.api import ANNOUNCED, Api, supported
from noetl_stream.broker.reader import NOT_READABLE, Cursor, Read, reader_of, unwrapped
from noetl_stream.commitlog.refusal import ConnectionRefused, Refused, storing

Fields = Mapping[str, Any]

_KEY_AND_VERSION = struct.Struct(">hhi")
_SIZE = struct.Struct(">i")
_NO_TIME = datetime.timedelta(0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Who asks, and the address at which this client reaches the broker."""

    client_host: str
    broker_host: str
    broker_port: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One decoded request. `body` is kio's entity of that version, so its fields differ by `version`."""

    api: Api
    version: int
    correlation_id: int
    client_id: str
    connection: Connection
    body: Any


def decode(frame: bytes, connection: Connection) -> Request:
    """The request in a frame (without its length prefix).

    An ApiVersions request of a version from the future is answered in version 0, as Kafka does, so that the
    client can step down.

    Raises:
        ConnectionRefused: an unknown key or version, or bytes that do not parse.
    """
    if len(frame) < _KEY_AND_VERSION.size:
        raise ConnectionRefused(f"a request of {len(frame)} bytes is too short to have a header")
    key, version, correlation_id = _KEY_AND_VERSION.unpack_from(frame)
    api = supported(key, version)
    if api is None and key == Api.API_VERSIONS:
        return _request_from_the_future(correlation_id, connection)
    if api is None:
        raise ConnectionRefused(f"request key {key} in version {version} is not supported")
    return _decode_supported(api, version, frame, connection)


def _decode_supported(api: Api, version: int, frame: bytes, connection: Connection) -> Request:
    read_header, read_body = _request_readers(api, version)
    cursor = Cursor(frame)
    try:
        header, body = read_header(cursor), read_body(cursor)
    except NOT_READABLE as error:
        raise ConnectionRefused(
            f"a {api.name} request of version {version} does not parse: {error}"
        ) from error
    return Request(
        api=api,
        version=version,
        correlation_id=header.correlation_id,
        client_id=header.client_id or "",
        connection=connection,
        body=body,
    )


def _request_from_the_future(correlation_id: int, connection: Connection) -> Request:
    return Request(
        api=Api.API_VERSIONS,
        version=0,
        correlation_id=correlation_id,
        client_id="",
        connection=connection,
        body=None,
    )


def api_versions(request: Request) -> Fields:
    """The answer to ApiVersions: every request with its range."""
    return {
        "error_code": ErrorCode.none if request.body is not None else ErrorCode.unsupported_version,
        "api_keys": [
            {"api_key": int(api), "min_version": lowest, "max_version": highest}
            for api, (lowest, highest) in ANNOUNCED.items()
        ],
    }


async def outcome(change: Awaitable[None]) -> tuple[ErrorCode, str | None]:
    """What is answered about a change once it is done or refused, by the disk too: its error code and sentence."""
    try:
        with storing(ErrorCode.kafka_storage_error):
            await change
    except Refused as refused:
        return refused.code, refused.reason
    return ErrorCode.none, None


def encode(request: Request, fields: Fields) -> memoryview:
    """The response frame, length prefix included."""
    codec = _response_codec(request.api, request.version)
    buffer = io.BytesIO()
    buffer.write(b"\0\0\0\0")
    codec.write_header(buffer, codec.header(correlation_id=request.correlation_id))
    codec.write_body(buffer, build(codec.schema, fields))
    frame = buffer.getbuffer()
    _SIZE.pack_into(frame, 0, len(frame) - _SIZE.size)
    return frame


def build(schema: Any, fields: Fields) -> Any:
    """A kio entity from a mapping: nested entities from mappings, fields its version lacks left out."""
    values: dict[str, Any] = {}
    for name, nested, many in _plan(schema):
        if name not in fields:
            if name == "throttle_time":
                values[name] = _NO_TIME
            continue
        value = fields[name]
        if nested is not None and value is not None:
            value = tuple([build(nested, item) for item in value]) if many else build(nested, value)
        values[name] = value
    return schema(**values)


class _PlannedField(NamedTuple):
    name: str
    nested: type[Any] | None
    many: bool


class _ResponseCodec(NamedTuple):
    schema: type[Any]
    header: type[Any]
    write_header: Callable[[Any, Any], None]
    write_body: Callable[[Any, Any], None]


@functools.cache
def _plan(schema: type[Any]) -> tuple[_PlannedField, ...]:
    return tuple(_planned(field.name, field.type) for field in dataclasses.fields(schema))


def _planned(name: str, annotation: Any) -> _PlannedField:
    """Unwrap `X`, `X | None`, `tuple[X, ...]` and `tuple[X, ...] | None`."""
    annotation, _ = unwrapped(annotation)
    many = typing.get_origin(annotation) is tuple
    item = typing.get_args(annotation)[0] if many else annotation
    nested: Any = item if dataclasses.is_dataclass(item) else None
    return _PlannedField(name, nested, many)


@functools.cache
def _request_readers(api: Api, version: int) -> tuple[Read, Read]:
    schema: Any = load_request_schema(api, version)
    return reader_of(schema.__header_schema__), reader_of(schema)


@functools.cache
def _response_codec(api: Api, version: int) -> _ResponseCodec:
    schema = load_response_schema(api, version)
    header = schema.__header_schema__
    return _ResponseCodec(schema, header, entity_writer(header), entity_writer(schema))
