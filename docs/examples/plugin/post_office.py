"""A mail server for tests: it takes whatever it is given, but nothing for nobody@, and keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class PostOffice:
    """Speaks as much SMTP as a client that sends one message needs. `first` is what it says to a newcomer."""

    first: bytes = b"220 welcome"
    port: int = 0
    received: list[str] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.first + b"\r\n")
        async for line in reader:
            word = line.split()[0].upper()
            if word == b"DATA":
                writer.write(b"354 go on\r\n")
                self.received.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            if word == b"QUIT":
                writer.write(b"221 goodbye\r\n")
                break
            writer.write(b"550 nobody here\r\n" if b"nobody@" in line else b"250 fine\r\n")
        writer.close()


@asynccontextmanager
async def open_office(first: bytes = b"220 welcome") -> AsyncIterator[PostOffice]:
    """On a free port of this machine."""
    office = PostOffice(first)
    async with await asyncio.start_server(office.talk, "127.0.0.1", 0) as server:
        office.port = server.sockets[0].getsockname()[1]
        yield office
