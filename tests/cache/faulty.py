"""A proxy before a store that answers as stores do on a bad day: too busy, broken off, silent, altered, refused."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never
from urllib.parse import urlsplit

from tests.cache.s3 import S3


@dataclass(frozen=True, slots=True)
class Refusal:
    """The store does not do it."""

    status: int
    code: str


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks after so many bytes of the body."""

    after: int


@dataclass(frozen=True, slots=True)
class Unheard:
    """The store does it, and the connection breaks before it can say so."""


@dataclass(frozen=True, slots=True)
class Silence:
    """No byte comes any more."""


@dataclass(frozen=True, slots=True)
class Altered:
    """The body is not what was stored."""


Fault: TypeAlias = Refusal | Cut | Unheard | Silence | Altered

SLOW_DOWN = Refusal(503, "SlowDown")
INTERNAL = Refusal(500, "InternalError")
EXPIRED = Refusal(400, "ExpiredToken")


@dataclass
class FaultyStore:
    """The n-th request of a method meets the n-th of `faults[method]`; every one meets `always`, where it is set.

    `met` is set once a request has met a fault.
    """

    s3: S3
    endpoint: str = ""
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    always: Fault | None = None
    requests: list[str] = field(default_factory=list)
    met: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def as_s3(self) -> S3:
        return S3(endpoint=self.endpoint)

    def meet(self, method: str, *faults: Fault) -> None:
        """What the next requests of a method meet."""
        self.faults[method] = deque(faults)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            request = head + await reader.readexactly(_length(head))
            method = head.split(b" ", 1)[0].decode()
            self.requests.append(head.split(b"\r\n", 1)[0].decode())
            waiting = self.faults.get(method)
            await self._answer(request, waiting.popleft() if waiting else self.always, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(self, request: bytes, fault: Fault | None, writer: asyncio.StreamWriter) -> None:
        if fault is not None:
            self.met.set()
        match fault:
            case None:
                writer.write(await self._forward(request))
            case Refusal(status=status, code=code):
                writer.write(_refusal(status, code))
            case Cut(after=after):
                head, body = _split(await self._forward(request))
                writer.write(head + body[:after])
                await writer.drain()
                writer.transport.abort()
                return
            case Unheard():
                await self._forward(request)
                writer.transport.abort()
                return
            case Silence():
                await asyncio.get_running_loop().create_future()
            case Altered():
                head, body = _split(await self._forward(request))
                writer.write(head + bytes(len(body)))
            case _:
                assert_never(fault)
        await writer.drain()

    async def _forward(self, request: bytes) -> bytes:
        """The store's own answer, as it came."""
        at = urlsplit(self.s3.endpoint)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        head, body = _split(request)
        writer.write(head[:-2] + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


@asynccontextmanager
async def faulty(s3: S3) -> AsyncIterator[FaultyStore]:
    """The proxy, listening."""
    proxy, running = FaultyStore(s3), set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    proxy.endpoint = f"http://{host}:{port}"
    try:
        yield proxy
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _split(message: bytes) -> tuple[bytes, bytes]:
    """Head, with the empty line, and body."""
    head, line, body = message.partition(b"\r\n\r\n")
    return head + line, body


def _refusal(status: int, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>As the test said.</Message></Error>"
    head = f"HTTP/1.1 {status} Refused\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return f"{head}{body}".encode()


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
