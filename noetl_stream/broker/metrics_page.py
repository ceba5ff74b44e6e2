"""`GET /metrics` on this machine alone: one page, one answer to a connection, on the broker's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from noetl_stream.errors import InfrastructureError

_HOST = "127.0.0.1"
_MOST_BYTES = 8 * 1024
_PATIENCE_SECONDS = 5.0
_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsPage:
    """Serves what `page` returns."""

    def __init__(self, page: Callable[[], bytes]) -> None:
        self._page = page
        self._server: asyncio.Server | None = None

    async def listen(self, port: int) -> str:
        """The page's address.

        Raises:
            InfrastructureError: the port is taken.
        """
        try:
            self._server = await asyncio.start_server(self._serve, _HOST, port, limit=_MOST_BYTES)
        except OSError as error:
            raise InfrastructureError(
                f"cannot serve metrics at {_HOST}:{port} ({error.strerror}); choose another --metrics-port, or 0"
            ) from error
        return f"http://{_HOST}:{self._server.sockets[0].getsockname()[1]}/metrics"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.split(b" ", 2)[:2]))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            """Whoever asks like this gets no answer."""
        finally:
            writer.close()

    def _answer(self, asked: list[bytes]) -> bytes:
        if asked != [b"GET", b"/metrics"]:
            return _response("404 Not Found", b"metrics are at /metrics\n")
        return _response("200 OK", self._page())


def _response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
