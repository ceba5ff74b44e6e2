"""The SDK's own HTTP client behind the guard of the http tool. It remembers how its last request ended: the SDK forgets that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import httpcore2
import httpx2

from noetl_stream.errors import ToolError
from noetl_stream.tools.http.guard import checked_addresses, connected

MAX_BYTES: Final = 64 << 20
"""Of one answer, decoded or not: a list of tools, or what a tool says."""


class _Backend(httpcore2.AsyncNetworkBackend):
    """Connects to checked addresses alone."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return await connected(
            await checked_addresses(host, port, allow_private=self._allow_private),
            lambda address: self._inner.connect_tcp(address, port, timeout, local_address, socket_options),
            (httpcore2.ConnectError, httpcore2.ConnectTimeout),
        )

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, transport: GuardedTransport) -> None:
        self._inner, self._transport = inner, transport

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > MAX_BYTES:
                self._transport.failure = ToolError(
                    f"the MCP server answers with more than {MAX_BYTES} bytes; ask for less",
                    kind="client_error",
                    code="too_large",
                )
                raise self._transport.failure
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """httpx2's own transport over a guarded backend; it has no public door for one.

    `failure` is why the last request got no answer, `answer` the last answer's status and headers.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self.failure: Exception | None = None
        self.answer: httpx2.Response | None = None
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(trust_env=False),
            network_backend=_Backend(allow_private=allow_private),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        # Compressed bodies could grow beyond any bound; what is asked for plainly is bounded as it comes.
        request.headers["accept-encoding"] = "identity"
        try:
            response = await super().handle_async_request(request)
        except Exception as error:
            self.failure = error
            raise
        self.failure, self.answer = None, response
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, self)
        return response
