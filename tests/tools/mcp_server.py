"""A real MCP server, built with the SDK, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

Message: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any
]

WRONG = "Bearer wrong"


@dataclass
class Server:
    """Where it listens, what its requests said of themselves, and what became of the tool that never ends."""

    url: str = ""
    seen: list[dict[str, str]] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    waits: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)


def _built(server: Server) -> MCPServer:
    built = MCPServer("shop")

    @built.tool()
    def price(item: str, count: int = 1) -> dict[str, Any]:
        """What so many of an item cost."""
        return {"item": item, "total": 12 * count}

    @built.tool()
    def broken() -> str:
        """Fails."""
        raise ToolError("out of tea")

    @built.tool()
    def key(context: Context[Any, Any]) -> str:
        """Keeps the key of the caller's effect."""
        meta: Any = context.request_context.meta
        server.keys.append(dict(meta)["noetl.io/effect-key"])
        return "kept"

    @built.tool()
    async def endless() -> str:
        """Never ends by itself."""
        server.waits.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.stopped.set()
        return ""

    return built


def _guarded(app: App, server: Server) -> App:
    """The app, for those who come with no wrong token; it notes each request's headers."""

    async def guarded(scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        server.seen.append(headers)
        if headers.get("authorization") == WRONG:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return guarded


@contextmanager
def serving(transport: str = "http") -> Iterator[Server]:
    """Serve until the block ends, over streamable HTTP or SSE."""
    server = Server()
    built = _built(server)
    app, path = (built.sse_app(), "sse") if transport == "sse" else (built.streamable_http_app(), "mcp")
    started = threading.Event()

    class Announced(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            server.url = f"http://127.0.0.1:{port}/{path}"
            started.set()

    config = uvicorn.Config(
        _guarded(app, server),
        host="127.0.0.1",
        port=0,
        ws="none",
        log_level="error",
        timeout_graceful_shutdown=1,
    )
    running = Announced(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    started.wait(30)
    try:
        yield server
    finally:
        running.should_exit = True
        thread.join()
