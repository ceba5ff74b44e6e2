"""A cache that outlasts a bad day of its store: without it a worker has nothing else to do, and what it holds is not lost."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from noetl_stream.core.values import Ref, Value
from noetl_stream.errors import DamagedResult, InfrastructureError
from noetl_stream.ports.frames import Cache, Frame, FrameKey

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0)
"""Seconds before the second and each later try: a minute and a half beside what the store's client waits itself."""

log = logging.getLogger(__name__)


class PatientCache:
    """A `ports.frames.Cache` that asks `cache` again after an InfrastructureError, and raises the last one.

    A result that is damaged is not asked for again: it would come the same.
    """

    def __init__(self, cache: Cache, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._cache, self._pause = cache, pause

    @property
    def kind(self) -> str:
        return self._cache.kind

    @property
    def place(self) -> str:
        return self._cache.place

    async def put_table(
        self, key: FrameKey, table: pa.Table, parts: Mapping[str, Value] | None = None
    ) -> Ref:
        return await self._patiently(partial(self._cache.put_table, key, table, parts))

    async def put_json(self, key: FrameKey, value: Value, parts: Mapping[str, Value] | None = None) -> Ref:
        return await self._patiently(partial(self._cache.put_json, key, value, parts))

    async def frame(self, ref: Ref) -> Frame:
        return await self._patiently(partial(self._cache.frame, ref))

    async def json(self, ref: Ref) -> Value:
        return await self._patiently(partial(self._cache.json, ref))

    async def create(self, name: str, content: bytes) -> bool:
        return await self._patiently(partial(self._cache.create, name, content))

    async def read(self, name: str) -> bytes:
        return await self._patiently(partial(self._cache.read, name))

    async def expire(self, key: FrameKey, refs: Iterable[Ref], moment: float) -> None:
        await self._patiently(partial(self._cache.expire, key, tuple(refs), moment))

    async def close(self) -> None:
        """The cache belongs to whoever opened it."""

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        for again in itertools.chain(PAUSES, [None]):
            try:
                return await ask()
            except DamagedResult:
                raise
            except InfrastructureError as error:
                if again is None:
                    raise
                log.warning("%s; the next try is in %g s", error, again)
                await self._pause(again)
        raise AssertionError("the last try returns or raises")
