"""What was fetched once and stays good for a while: held in memory, fetched by one asker at a time, never written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final, Generic, TypeVar

import orjson

from noetl_stream.errors import ToolError

T = TypeVar("T")

MOST: Final = 1000
"""Values at once. More push out the oldest, which is then fetched again."""
PAUSE: Final = 5.0
"""Seconds between two tries to renew ahead of the end."""
YOUNG: Final = 10.0
"""Seconds for which nobody's doubt counts: whoever refuses what was fetched just now would refuse the next one too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(Generic[T]):
    """A value that lasts for so many seconds, and is renewed after so many (by default at its end)."""

    value: T = field(repr=False)
    lasts: float
    renewed_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Generic[T]):
    """A value, with when it came, when it ends and when to renew it, by the clock of whoever holds it."""

    value: T = field(repr=False)
    since: float
    ends: float
    renew: float


class Held(Generic[T]):
    """Values by key. However many ask for one at once, it is fetched once, and all get it, or the same error."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[bytes, Kept[T]] = {}
        self._flights: dict[bytes, asyncio.Task[Kept[T]]] = {}

    async def get(self, key: bytes, fetch: Callable[[], Awaitable[Fetched[T]]]) -> Kept[T]:
        """The value. One that is to be renewed, and cannot be, is good until it ends."""
        kept = self._kept.get(key)
        if kept is not None and self._clock() < kept.renew:
            return kept
        try:
            return await asyncio.shield(self._flight(key, fetch))
        except ToolError:
            if kept is None or self._kept.get(key) is not kept or self._clock() >= kept.ends:
                raise
            self._kept[key] = again = replace(kept, renew=min(kept.ends, self._clock() + PAUSE))
            return again

    def doubt(self, key: bytes, kept: Kept[T]) -> bool:
        """The value was refused by whom it was for: let it go, unless it is a new one. Tells whether it is gone."""
        now = self._kept.get(key)
        if now is not None and now.since == kept.since:
            if self._clock() - kept.since < YOUNG:
                return False
            del self._kept[key]
        return True

    async def close(self) -> None:
        """End what is still being fetched, and drop everything."""
        flights = tuple(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        self._kept.clear()

    def _flight(self, key: bytes, fetch: Callable[[], Awaitable[Fetched[T]]]) -> asyncio.Task[Kept[T]]:
        if key not in self._flights:
            task = asyncio.ensure_future(self._fetch(key, fetch))
            self._flights[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return self._flights[key]

    def _landed(self, key: bytes, done: asyncio.Task[Kept[T]]) -> None:
        del self._flights[key]
        if not done.cancelled():
            done.exception()  # whoever waited has it; they may all have gone

    async def _fetch(self, key: bytes, fetch: Callable[[], Awaitable[Fetched[T]]]) -> Kept[T]:
        fetched, now = await fetch(), self._clock()
        renewed = fetched.lasts if fetched.renewed_after is None else fetched.renewed_after
        kept = Kept(value=fetched.value, since=now, ends=now + fetched.lasts, renew=now + renewed)
        if len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = kept
        asyncio.get_running_loop().call_later(fetched.lasts, self._drop, key, now)
        return kept

    def _drop(self, key: bytes, since: float) -> None:
        kept = self._kept.get(key)
        if kept is not None and kept.since == since:
            del self._kept[key]


def key_of(*parts: Any) -> bytes:
    """A key that tells of none of its parts, among which there are secrets."""
    return blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=str), digest_size=16).digest()
