"""The door: accepts sockets one after the other, as fast as is allowed, and wraps those that are let in."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

from noetl_stream.broker.connections import Connections, OpenConnection

logger = logging.getLogger(__name__)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, OpenConnection], Awaitable[None]]

_BACKLOG = 512
_READ_BUFFER = 64 * 1024
_HANDSHAKE_SECONDS = 10.0
_BREATH_SECONDS = 0.2
"""How long to accept nothing when the process has no descriptor left for it."""


class Listener:
    """Serves every client in a task of its own, until it is closed. Limits hold before TLS costs anything."""

    def __init__(
        self, connections: Connections, serve: Serve, *, tls: ssl.SSLContext | None, rate: float | None
    ) -> None:
        self._connections, self._serve, self._tls = connections, serve, tls
        self._pause = 0.0 if rate is None else 1 / rate
        self._clients: set[asyncio.Task[None]] = set()
        self._door: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin to accept; the port that is bound.

        Raises:
            OSError: the address is taken or not ours.
        """
        family, address = await _resolved(host, port)
        door = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        door.setblocking(False)
        self._door = door
        self._accepting = asyncio.create_task(self._accept(door))
        bound: int = door.getsockname()[1]
        return bound

    async def close(self) -> None:
        """Accept no more, and end every connection whatever it waits for."""
        if self._door is not None:
            self._door.close()
        tasks = [*self._clients, *([self._accepting] if self._accepting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._connections.abort()

    async def _accept(self, door: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(door)
            except OSError as error:  # the client has gone already, or we are out of descriptors
                logger.warning("a connection could not be accepted: %s", error)
                await asyncio.sleep(_BREATH_SECONDS)
                continue
            self._admit(client, address)
            if self._pause:
                await asyncio.sleep(self._pause)

    def _admit(self, client: socket.socket, address: tuple[str, int]) -> None:
        connection = OpenConnection(host=address[0], port=address[1], abort=client.close)
        if not self._connections.admits(connection.host):
            client.close()
            return
        self._connections.add(connection)
        task = asyncio.create_task(self._welcome(client, connection))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _welcome(self, client: socket.socket, connection: OpenConnection) -> None:
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            reader, writer = await self._wrapped(client)
        except (OSError, ssl.SSLError) as error:
            logger.warning("closed the connection of %s: no TLS came about: %s", connection, error)
            client.close()
            self._connections.remove(connection)
            return
        connection.abort = writer.transport.abort
        try:
            await self._serve(reader, writer, connection)
        finally:
            self._connections.remove(connection)
            writer.close()

    async def _wrapped(self, client: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ_BUFFER, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            client,
            ssl=self._tls,
            ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE_SECONDS,
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """One address to bind. Where a name has several, IPv4 comes first: it is what clients here try."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))
