"""Bytes between a store and this machine: in pieces, a few at once, each within a time limit of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore

from noetl_stream.cache.hashed import PIECE, HashedFile

if TYPE_CHECKING:
    from obstore import Bytes
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_AT_ONCE = 4
_PARTS = 9_000
"""Stores take at most 10,000 parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one request of at most a piece may take, in seconds, and for how long it is repeated.

    A piece that arrives in part is continued where it broke off. Past `retry_for` an error is told.
    """

    connect: float = 5.0
    silence: float = 15.0
    request: float = 60.0
    retry_for: float = 30.0
    retries: int = 8

    def client(self) -> ClientConfig:
        # An endpoint says itself whether it is https; there is none but https by default.
        return {
            "allow_http": True,
            "connect_timeout": timedelta(seconds=self.connect),
            "read_timeout": timedelta(seconds=self.silence),
            "timeout": timedelta(seconds=self.request),
        }

    def retry(self) -> RetryConfig:
        return {
            "max_retries": self.retries,
            "retry_timeout": timedelta(seconds=self.retry_for),
            "backoff": {
                "init_backoff": timedelta(seconds=0.1),
                "max_backoff": timedelta(seconds=5),
                "base": 2,
            },
        }


async def upload(store: ObjectStore, name: str, content: Path | bytes, size: int) -> None:
    """Put an object, whole or not at all; one that is there is replaced, and its name says that it is the same."""
    chunk = max(PIECE, -(-size // _PARTS))
    await obstore.put_async(store, name, content, chunk_size=chunk, max_concurrency=_AT_ONCE)


async def pieces(store: ObjectStore, name: str, size: int) -> AsyncGenerator[Bytes]:
    """The object's first `size` bytes in order (0: all), some of which are fetched ahead."""
    size = size or (await obstore.head_async(store, name))["size"]
    ahead: deque[asyncio.Future[Bytes]] = deque()
    try:
        for start in range(0, size, PIECE):
            end = min(start + PIECE, size)
            ahead.append(asyncio.ensure_future(obstore.get_range_async(store, name, start=start, end=end)))
            if len(ahead) == _AT_ONCE:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for future in ahead:
            future.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


async def download(store: ObjectStore, name: str, size: int, path: Path) -> str:
    """Fetch an object into a file and return its sha256 in hex."""
    with HashedFile(path) as file:
        async with aclosing(pieces(store, name, size)) as arriving:
            async for piece in arriving:
                await asyncio.to_thread(file.write, memoryview(piece))
        return await asyncio.to_thread(file.hexdigest)
