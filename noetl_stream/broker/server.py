"""Connections: frames in, frames out, one request at a time per connection, as Kafka does."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable

from noetl_stream.broker.protocol import Connection, Fields, Request, decode, encode
from noetl_stream.commitlog.refusal import ConnectionRefused
from noetl_stream.errors import InfrastructureError

logger = logging.getLogger(__name__)

Answer = Callable[[Request], Awaitable[Fields | None]]
"""A service's answer to a request; None where the protocol has none."""

_SIZE = struct.Struct(">i")
_READ_BUFFER = 1 << 20


class Server:
    """Accepts clients. What one of them does wrong ends its own connection only, and is logged once."""

    def __init__(self, answer: Answer, max_request_bytes: int) -> None:
        self._answer, self._max_request_bytes = answer, max_request_bytes
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin to accept; the port that is bound.

        Raises:
            OSError: the address is taken or not ours.
        """
        self._server = await asyncio.start_server(self._accept, host, port, limit=_READ_BUFFER)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Accept no more, and end every connection whatever it waits for."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve_until_it_ends(reader, writer, _connection(writer))
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_until_it_ends(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection
    ) -> None:
        closed = f"closed the connection of {connection.client_host}:{connection.client_port}"
        try:
            await self._serve(reader, writer, connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone, which is its right
        except asyncio.CancelledError:
            pass  # the broker stops; asyncio would log a cancelled connection as an error
        except ConnectionRefused as refused:
            logger.warning("%s: %s", closed, refused)
        except (OSError, InfrastructureError) as error:
            logger.error("%s: what it asked for could not be stored: %s", closed, error)
        except Exception:
            logger.exception("%s: a fault of the broker; report it with this trace", closed)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection
    ) -> None:
        while True:
            request = decode(await self._read_frame(reader), connection)
            fields = await self._answer(request)
            if fields is not None:
                writer.write(encode(request, fields))
                await writer.drain()

    async def _read_frame(self, reader: asyncio.StreamReader) -> bytes:
        (size,) = _SIZE.unpack(await reader.readexactly(_SIZE.size))
        if not 0 <= size <= self._max_request_bytes:
            raise ConnectionRefused(
                f"a request of {size} bytes is outside 0 to {self._max_request_bytes}; "
                "either this is no Kafka client, or max_request_bytes must be raised"
            )
        return await reader.readexactly(size)


def _connection(writer: asyncio.StreamWriter) -> Connection:
    client_host, client_port = writer.get_extra_info("peername")[:2]
    broker_host, broker_port = writer.get_extra_info("sockname")[:2]
    return Connection(
        client_host=client_host, client_port=client_port, broker_host=broker_host, broker_port=broker_port
    )
