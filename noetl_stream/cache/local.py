"""The cache on a local disk: Arrow files that readers map, each written beside its place and linked into it whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from noetl_stream.cache.disk import OwnFolder, disk_errors
from noetl_stream.cache.frames import MappedFrame
from noetl_stream.cache.names import claim_name, compare, expiry_notes, gone, name_of, never_created
from noetl_stream.cache.stored import Stored, decode_json, encode_json, stored_json
from noetl_stream.core.values import Ref, Value
from noetl_stream.ports.frames import Frame, FrameKey

if TYPE_CHECKING:
    import pyarrow as pa


UNFINISHED = "unfinished"


class LocalCache:
    """A `ports.frames.Cache` under `root`, which several processes of one machine may share.

    Objects are not synced to the end: after a power cut a torn one is told by its size and counts as gone. What is
    created only once is: a claim outlasts a power cut.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._own = root, OwnFolder(root / UNFINISHED)

    @property
    def kind(self) -> str:
        return "disk"

    @property
    def place(self) -> str:
        return str(self._root)

    async def check(self) -> None:
        """Find out whether the folder can be used. Raises InfrastructureError."""
        with disk_errors(self._root):
            self._own.name()

    async def put_table(
        self, key: FrameKey, table: pa.Table, parts: Mapping[str, Value] | None = None
    ) -> Ref:
        from noetl_stream.cache.tables import write_table

        return await asyncio.to_thread(self._put, key, partial(write_table, table=table), parts)

    async def put_json(self, key: FrameKey, value: Value, parts: Mapping[str, Value] | None = None) -> Ref:
        content = encode_json(value)

        def write(path: Path) -> Stored:
            path.write_bytes(content)
            return stored_json(content)

        return await asyncio.to_thread(self._put, key, write, parts)

    async def frame(self, ref: Ref) -> Frame:
        with disk_errors(self._root):
            return MappedFrame(ref, self._whole(ref))

    async def json(self, ref: Ref) -> Value:
        return decode_json(await asyncio.to_thread(self._read, ref))

    async def create(self, name: str, content: bytes) -> bool:
        return await asyncio.to_thread(self._create, claim_name(name), content)

    async def read(self, name: str) -> bytes:
        with disk_errors(self._root):
            try:
                return await asyncio.to_thread((self._root / claim_name(name)).read_bytes)
            except FileNotFoundError:
                raise never_created(name) from None

    async def expire(self, key: FrameKey, refs: Iterable[Ref], moment: float) -> None:
        for note in expiry_notes(key, refs, moment):
            await asyncio.to_thread(self._create, note, b"")

    async def names(self, under: str = "") -> AsyncIterator[str]:
        for name in await asyncio.to_thread(self._names, under):
            yield name

    async def remove(self, names: Sequence[str]) -> None:
        await asyncio.to_thread(self._remove, names)

    async def close(self) -> None:
        self._own.close()

    def _names(self, under: str) -> list[str]:
        with disk_errors(self._root):
            files = [path for path in (self._root / under).rglob("*") if path.is_file()]
        found = (path.relative_to(self._root) for path in files)
        return [path.as_posix() for path in found if path.parts[0] != UNFINISHED]

    def _remove(self, names: Sequence[str]) -> None:
        with disk_errors(self._root):
            for name in names:
                (self._root / name).unlink(missing_ok=True)

    def _put(self, key: FrameKey, write: Callable[[Path], Stored], parts: Mapping[str, Value] | None) -> Ref:
        with self._beside() as path:
            stored = write(path)
            target = self._root / stored.name(key)
            if not self._link(path, target) and target.stat().st_size != stored.bytes:
                os.replace(path, target)  # torn by a power cut
        return stored.ref(key, parts)

    def _create(self, name: str, content: bytes) -> bool:
        with self._beside() as path:
            path.write_bytes(content)
            _sync(path)
            target = self._root / name
            if not self._link(path, target):
                return target.read_bytes() == content
            _sync(target.parent)
            return True

    @contextmanager
    def _beside(self) -> Iterator[Path]:
        with disk_errors(self._root):
            path = self._own.name()
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    @staticmethod
    def _link(path: Path, target: Path) -> bool:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except FileExistsError:
            return False
        return True

    def _whole(self, ref: Ref) -> Path:
        path = self._root / name_of(ref)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise gone(ref) from None
        if ref.bytes and size != ref.bytes:
            raise gone(ref)
        return path

    def _read(self, ref: Ref) -> bytes:
        with disk_errors(self._root):
            content = self._whole(ref).read_bytes()
        compare(ref, sha256(content).hexdigest())
        return content


def _sync(path: Path) -> None:
    """A file's bytes, or a folder's names, on the disk for good."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
