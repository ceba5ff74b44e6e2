"""The local tier of a remote cache: whole objects as files, the least recently used ones dropped beyond a bound."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from weakref import WeakValueDictionary

from noetl_stream.cache.frames import MappedFrame


class Tier:
    """At most about `limit` bytes of files under `root`, which belongs to one process.

    A file whose frame is still referenced is never dropped, so the bound yields to blocks that run.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self._root, self._limit = root, limit
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._used: WeakValueDictionary[str, MappedFrame] = WeakValueDictionary()
        self._arriving: dict[str, asyncio.Lock] = {}
        self._adopt_earlier()

    @property
    def bytes(self) -> int:
        return sum(self._sizes.values())

    async def path(self, name: str, download: Callable[[Path], Awaitable[None]]) -> Path:
        """The object's file, downloaded once however many ask at the same time."""
        lock = self._arriving.setdefault(name, asyncio.Lock())
        try:
            async with lock:
                if name not in self._sizes or not (self._root / name).exists():
                    await self._fetch(name, download)
                self._sizes.move_to_end(name)
                return self._root / name
        finally:
            if not lock.locked():
                self._arriving.pop(name, None)

    def pin(self, name: str, frame: MappedFrame) -> None:
        """Keep the object while `frame` lives."""
        self._used[name] = frame

    def adopt(self, path: Path, name: str) -> None:
        """Take over a finished file that stands under this tier's root."""
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        self._sizes[name] = target.stat().st_size
        self._sizes.move_to_end(name)
        self._drop()

    def beside(self) -> Path:
        """An empty file to fill and `adopt`."""
        unfinished = self._root / "unfinished"
        unfinished.mkdir(parents=True, exist_ok=True)
        file, name = tempfile.mkstemp(dir=unfinished)
        os.close(file)
        return Path(name)

    async def _fetch(self, name: str, download: Callable[[Path], Awaitable[None]]) -> None:
        path = self.beside()
        try:
            await download(path)
            self.adopt(path, name)
        finally:
            path.unlink(missing_ok=True)

    def _drop(self) -> None:
        excess = self.bytes - self._limit
        newest = next(reversed(self._sizes))
        for name in list(self._sizes):
            if excess <= 0:
                return
            if name == newest or name in self._used:
                continue
            (self._root / name).unlink(missing_ok=True)
            excess -= self._sizes.pop(name)

    def _adopt_earlier(self) -> None:
        files = [(p.stat(), p) for p in self._root.rglob("*.arrow")]
        for stat, path in sorted(files, key=lambda found: found[0].st_mtime):
            self._sizes[path.relative_to(self._root).as_posix()] = stat.st_size
