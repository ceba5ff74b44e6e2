"""The local tier of a remote cache: whole objects, which any process of this machine may read and drop.

A file's links are its users. Whoever reads an object holds a link of its own, so dropping it never takes anything from
anybody, and the kernel counts who uses it, whatever became of the processes that did.
"""

from __future__ import annotations

import asyncio
import errno
import os
import weakref
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from noetl_stream.cache.disk import OwnFolder, disk_errors

T = TypeVar("T")

PROCESSES = "processes"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SLACK = 16
"""The folder is looked at again once this process has added a sixteenth of the bound, and then keeps as much free."""


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """An object's file. `used` is in nanoseconds; more than one link: somebody reads it."""

    used: int
    path: Path
    bytes: int
    links: int


class Tier:
    """About `limit` bytes of files under `root`, which all processes of a machine may share; the least recently used go.

    Objects that are read now stay, so the bound yields to blocks that run. Raises InfrastructureError where the disk
    cannot be used, even once all that nobody uses is gone.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self._root, self._limit = root, limit
        self._own = OwnFolder(root / PROCESSES)
        self._arriving: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._trimming = asyncio.Lock()
        self._added = limit
        """Bytes since the folder was last looked at; nobody has yet."""

    async def take(self, name: str, size: int, fetch: Callable[[Path], Awaitable[object]]) -> Path:
        """A link of the caller's own to the object of `size` bytes (0: unknown), which `fetch` fills if it is not here.

        However many ask at the same time, it is fetched once.
        """
        arriving = self._arriving.setdefault(name, asyncio.Lock())
        with disk_errors(self._root):
            async with arriving:
                return self._link(name, size) or await self._fetch(name, fetch)

    async def filled(self, fill: Callable[[Path], Awaitable[T]]) -> tuple[Path, T]:
        """A file of the caller's own that `fill` wrote; on a full disk once more, without what nobody uses."""
        with disk_errors(self._root):
            try:
                return await self._fill(fill)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
            await self.drop(down_to=0)
            return await self._fill(fill)

    def let_go(self, path: Path) -> None:
        """Remove a link that `take` or `filled` gave; the file goes when it is the last."""
        path.unlink(missing_ok=True)

    async def share(self, path: Path, name: str) -> None:
        """Let everybody on this machine use a finished file, whose own link stays its maker's."""
        with disk_errors(self._root):
            self._publish(path, name)
            if self._added > self._limit // _SLACK:
                await self.drop(down_to=self._limit - self._limit // _SLACK)

    async def drop(self, *, down_to: int) -> None:
        """Remove the least recently used of what nobody reads until the folder holds so many bytes."""
        async with self._trimming:
            self._added = 0
            await asyncio.to_thread(self._drop, down_to)

    def ready(self) -> None:
        """Find out whether the folder can be used."""
        with disk_errors(self._root):
            self._own.name()

    def close(self) -> None:
        self._own.close()

    @property
    def bytes(self) -> int:
        """What the folder holds now."""
        return sum(kept.bytes for kept in self._kept())

    async def _fetch(self, name: str, fetch: Callable[[Path], Awaitable[object]]) -> Path:
        path, _ = await self.filled(fetch)
        try:
            await self.share(path, name)
        except BaseException:
            self.let_go(path)
            raise
        return path

    async def _fill(self, fill: Callable[[Path], Awaitable[T]]) -> tuple[Path, T]:
        path = self._own.name()
        try:
            return path, await fill(path)
        except BaseException:  # a cancelled one leaves nothing either
            self.let_go(path)
            raise

    def _publish(self, path: Path, name: str) -> None:
        self._place_of(name).parent.mkdir(parents=True, exist_ok=True)
        beside = self._own.name()
        os.link(path, beside)
        os.replace(beside, self._place_of(name))
        self._added += path.stat().st_size

    def _link(self, name: str, size: int) -> Path | None:
        path = self._own.name()
        try:
            os.link(self._place_of(name), path)
        except FileNotFoundError:
            return None
        if size and path.stat().st_size != size:  # torn by a power cut
            path.unlink()
            return None
        os.utime(path)
        return path

    def _drop(self, down_to: int) -> None:
        files = sorted(self._kept())
        held = sum(file.bytes for file in files)
        for file in files:
            if held <= down_to:
                return
            if file.links == 1:
                file.path.unlink(missing_ok=True)
                held -= file.bytes

    def _kept(self) -> Iterator[_Kept]:
        for path in self._root.glob("objects/*/*.arrow"):
            try:
                found = path.stat()
            except FileNotFoundError:  # another process dropped it
                continue
            yield _Kept(found.st_mtime_ns, path, found.st_size, found.st_nlink)

    def _place_of(self, name: str) -> Path:
        digest = sha256(name.encode()).hexdigest()
        return self._root / "objects" / digest[:2] / f"{digest}.arrow"
