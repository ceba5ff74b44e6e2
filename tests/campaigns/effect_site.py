"""A web service that causes effects: it keeps the idempotency keys that it has seen, and counts what it was asked for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple


class Effect(NamedTuple):
    """What a request asks for: `n` of an execution."""

    run: str
    n: int


@dataclass(kw_only=True)
class Site:
    """`told` hears each request's path once its effect has happened, and before it is answered."""

    told: Callable[[str], None]
    url: str = ""
    applied: dict[str, Effect] = field(default_factory=dict)
    """What happened under `/once`, by key: nothing happens twice under one."""
    again: int = 0
    """Requests whose key was there already."""
    counted: Counter[Effect] = field(default_factory=Counter)
    """What happened under `/counted`, which looks at no key."""

    def cause(self, path: str, key: str, effect: Effect) -> None:
        if path == "/counted":
            self.counted[effect] += 1
        elif key in self.applied:
            self.again += 1
        else:
            self.applied[key] = effect
        self.told(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            asked = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.cause(first.split()[1], headers["idempotency-key"], Effect(asked["run"], asked["n"]))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # who asked was killed
        finally:
            writer.close()


@asynccontextmanager
async def serving(told: Callable[[str], None]) -> AsyncIterator[Site]:
    """A site for the block."""
    site = Site(told=told)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    async with server:
        site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield site
