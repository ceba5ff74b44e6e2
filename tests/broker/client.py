"""A client that says exactly what a test wants said, in any version of any request."""

from __future__ import annotations

import asyncio
import io
import ssl
import struct
from types import TracebackType
from typing import Any, Self

from kio.index import load_request_schema, load_response_schema
from kio.serial import entity_reader, entity_writer

from noetl_stream.broker.protocol import Fields, build


class RawClient:
    """One connection. `async with RawClient(bootstrap) as client: await client.call(3, 8, {...})`."""

    def __init__(
        self, bootstrap: str, *, local: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.bootstrap, self._local, self._tls = bootstrap, local, tls
        self._host, port = bootstrap.rsplit(":", 1)
        self._port = int(port)

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(
            self._host, self._port, local_addr=(self._local, 0), ssl=self._tls
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()

    async def call(self, api: int, version: int, fields: Fields) -> Any:
        """The decoded response."""
        self.writer.write(frame(api, version, fields))
        return decode(api, version, await self.receive())

    async def receive(self) -> bytes:
        (size,) = struct.unpack(">i", await self.reader.readexactly(4))
        return await self.reader.readexactly(size)

    async def is_closed_by_the_broker(self) -> bool:
        return await self.reader.read(1) == b""


def frame(api: int, version: int, fields: Fields) -> bytes:
    """A request as it goes over the wire, length prefix included."""
    schema = load_request_schema(api, version)
    header = schema.__header_schema__
    buffer = io.BytesIO()
    names = {
        "request_api_key": api,
        "request_api_version": version,
        "correlation_id": 7,
        "client_id": "test",
    }
    entity_writer(header)(buffer, build(header, names))
    entity_writer(schema)(buffer, build(schema, fields))
    body = buffer.getvalue()
    return struct.pack(">i", len(body)) + body


def decode(api: int, version: int, response: bytes) -> Any:
    schema = load_response_schema(api, version)
    header, size = entity_reader(schema.__header_schema__)(response, 0)
    assert header.correlation_id == 7
    body, used = entity_reader(schema)(response, size)
    assert size + used == len(response)
    return body
