"""Connections: frames in, frames out, one request at a time per connection, as Kafka does."""

from __future__ import annotations

import asyncio
import logging
import ssl
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from noetl_stream.broker.api import Api
from noetl_stream.broker.connections import IDLE, Connections, OpenConnection
from noetl_stream.broker.listener import Listener
from noetl_stream.broker.protocol import Connection, Fields, Request, decode, encode
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.commitlog.refusal import ConnectionRefused
from noetl_stream.errors import InfrastructureError

logger = logging.getLogger(__name__)

Answer = Callable[[Request], Awaitable[Fields | None]]
"""A service's answer to a request; None where the protocol has none."""

Answered = Callable[[Api, float], None]
"""Told of each answer and the seconds it took."""

Frame = bytes | memoryview

_SIZE = struct.Struct(">i")
_MOST_BEFORE_LOGIN = 512 * 1024
_TURN = 16
"""Requests after which a client that sends without a pause lets others have their turn."""


class Login(Protocol):
    """What a connection must go through before its requests are answered."""

    @property
    def is_done(self) -> bool: ...

    async def respond(self, frame: bytes, connection: Connection) -> Frame:
        """The response frame, length included.

        Raises:
            ConnectionRefused: this is not how one logs in.
            LoginRefused: it failed; the client is told, then the connection ends.
        """
        ...


class LoginRefused(ConnectionRefused):
    """A login that failed. `response` is what the client is told before its connection ends."""

    def __init__(self, reason: str, response: Frame) -> None:
        self.response = response
        super().__init__(reason)


class Server:
    """Accepts clients. What one of them does wrong ends its own connection only, and is logged once."""

    def __init__(
        self,
        answer: Answer,
        settings: BrokerSettings,
        *,
        tls: ssl.SSLContext | None = None,
        new_login: Callable[[], Login] | None = None,
        answered: Answered | None = None,
    ) -> None:
        self._answer, self._settings, self._new_login = answer, settings, new_login
        self._answered = answered
        self.received_bytes = self.sent_bytes = 0
        self.connections = Connections(settings)
        self._listener = Listener(
            self.connections, self._serve_until_it_ends, tls=tls, rate=settings.max_connection_rate
        )
        self._watch: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin to accept; the port that is bound.

        Raises:
            OSError: the address is taken or not ours.
        """
        bound = await self._listener.listen(host, port)
        self._watch = asyncio.create_task(self.connections.watch())
        return bound

    async def close(self) -> None:
        """Accept no more, and end every connection whatever it waits for."""
        if self._watch is not None:
            self._watch.cancel()
        await self._listener.close()

    async def _serve_until_it_ends(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: OpenConnection
    ) -> None:
        closed = f"closed the connection of {connection}"
        try:
            await self._serve(reader, writer, connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            _tell_why(closed, connection)
        except ConnectionRefused as refused:
            logger.warning("%s: %s", closed, refused)
        except (OSError, InfrastructureError) as error:
            logger.error("%s: what it asked for could not be stored: %s", closed, error)
        except Exception:
            logger.exception(
                "%s: a fault of the broker at %s; report it with this trace", closed, connection.asked
            )

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: OpenConnection
    ) -> None:
        ends, served = _ends(writer, connection, self._settings.advertised_host), 0
        await self._log_in(reader, writer, connection, ends)
        while True:
            frame = await self._read_frame(reader, connection, self._settings.max_request_bytes)
            request = decode(frame, ends)
            connection.asked = request.api, request.version
            fields = await self._answer_timed(request)
            if fields is not None:
                await self._send(writer, connection, encode(request, fields))
            served += 1
            if served % _TURN == 0:
                await asyncio.sleep(0)

    async def _answer_timed(self, request: Request) -> Fields | None:
        if self._answered is None:
            return await self._answer(request)
        began = time.perf_counter()
        fields = await self._answer(request)
        self._answered(request.api, time.perf_counter() - began)
        return fields

    async def _log_in(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: OpenConnection,
        ends: Connection,
    ) -> None:
        if self._new_login is None:
            return
        login = self._new_login()
        try:
            while not login.is_done:
                frame = await self._read_frame(reader, connection, _MOST_BEFORE_LOGIN)
                await self._send(writer, connection, await login.respond(frame, ends))
        except LoginRefused as refused:
            await self._send(writer, connection, refused.response)
            raise

    async def _read_frame(self, reader: asyncio.StreamReader, connection: OpenConnection, most: int) -> bytes:
        self.connections.await_request(connection)
        (size,) = _SIZE.unpack(await reader.readexactly(_SIZE.size))
        if not 0 <= size <= most:
            raise ConnectionRefused(
                f"a request of {size} bytes is outside 0 to {most}; "
                "either this is no Kafka client, or max_request_bytes must be raised"
            )
        self.connections.await_transfer(connection, size, "in the middle of a request")
        frame = await reader.readexactly(size)
        self.connections.await_nothing(connection)
        self.received_bytes += _SIZE.size + size
        return frame

    async def _send(self, writer: asyncio.StreamWriter, connection: OpenConnection, frame: Frame) -> None:
        writer.write(frame)
        self.sent_bytes += len(frame)
        self.connections.await_transfer(connection, len(frame), "not reading its answers")
        await writer.drain()


def _tell_why(closed: str, connection: OpenConnection) -> None:
    """A client may go whenever it likes, and an idle one is closed without a word."""
    if connection.overdue == IDLE:
        logger.debug("%s: it was idle", closed)
    elif connection.overdue:
        logger.warning("%s: it stood still, %s", closed, connection.overdue)


def _ends(writer: asyncio.StreamWriter, connection: OpenConnection, advertised: str | None) -> Connection:
    broker_host, broker_port = writer.get_extra_info("sockname")[:2]
    return Connection(
        client_host=connection.host,
        broker_host=advertised or broker_host,
        broker_port=broker_port,
    )
