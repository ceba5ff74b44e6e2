"""The cache in an object store: compressed Arrow files behind a bounded local tier."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from noetl_stream.cache.faults import is_from_store, is_missing_object, store_fault
from noetl_stream.cache.frames import MappedFrame
from noetl_stream.cache.names import claim_name, compare, expiry_notes, gone, name_of, never_created
from noetl_stream.cache.stored import Compression, Stored, decode_json, encode_json, stored_json
from noetl_stream.cache.tier import Tier
from noetl_stream.cache.transfer import download, pieces, upload
from noetl_stream.core.values import Ref, Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import Frame, FrameKey

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "file": "disk", "memory": "disk"}
_MARK, _MARKED = "noetl", b"cache 1\n"


class ObjectCache:
    """A `ports.frames.Cache` over any store of obstore. `place` is how its errors call it.

    What comes back from the store is compared with its hash before anybody reads it.
    """

    def __init__(
        self, store: ObjectStore, tier: Tier, *, place: str, compression: Compression = "lz4"
    ) -> None:
        self._store, self._tier, self._place, self._compression = store, tier, place, compression

    @property
    def kind(self) -> str:
        return _KINDS.get(self._place.partition("://")[0], "object")

    @property
    def place(self) -> str:
        return self._place

    async def check(self) -> None:
        """Write and read a mark, so that a wrong place is told before anything rests on it."""
        self._tier.ready()
        await self.create(_MARK, _MARKED)
        await self.read(_MARK)

    async def put_table(
        self, key: FrameKey, table: pa.Table, parts: Mapping[str, Value] | None = None
    ) -> Ref:
        from noetl_stream.cache.tables import write_table

        async def write(path: Path) -> Stored:
            return await asyncio.to_thread(write_table, path, table, self._compression)

        path, stored = await self._tier.filled(write)
        try:
            await self._put(key, stored, path)
            await self._tier.share(path, stored.name(key))
        finally:
            self._tier.let_go(path)
        return stored.ref(key, parts)

    async def put_json(self, key: FrameKey, value: Value, parts: Mapping[str, Value] | None = None) -> Ref:
        content = encode_json(value)
        stored = stored_json(content)
        await self._put(key, stored, content)
        return stored.ref(key, parts)

    async def frame(self, ref: Ref) -> Frame:
        name = name_of(ref)

        async def fetch(path: Path) -> None:
            with self._store_errors(gone(ref)):
                compare(ref, await download(self._store, name, ref.bytes, path))

        path = await self._tier.take(name, ref.bytes, fetch)
        frame = MappedFrame(ref, path)
        weakref.finalize(frame, self._tier.let_go, path)
        return frame

    async def json(self, ref: Ref) -> Value:
        name = name_of(ref)
        with self._store_errors(gone(ref)):
            async with aclosing(pieces(self._store, name, ref.bytes)) as arriving:
                content = b"".join([memoryview(piece) async for piece in arriving])
        compare(ref, sha256(content).hexdigest())
        return decode_json(content)

    async def create(self, name: str, content: bytes) -> bool:
        with self._store_errors(never_created(name)):
            try:
                await obstore.put_async(self._store, claim_name(name), content, mode="create")
            except AlreadyExistsError:
                # An attempt of ours whose answer got lost would find itself here.
                return await self._read(name) == content
            return True

    async def read(self, name: str) -> bytes:
        with self._store_errors(never_created(name)):
            return await self._read(name)

    async def expire(self, key: FrameKey, refs: Iterable[Ref], moment: float) -> None:
        with self._store_errors():
            for note in expiry_notes(key, refs, moment):
                await obstore.put_async(self._store, note, b"")

    async def names(self, under: str = "") -> AsyncIterator[str]:
        with self._store_errors():
            async for found in obstore.list(self._store, prefix=under or None):
                for each in found:
                    yield each["path"]

    async def remove(self, names: Sequence[str]) -> None:
        with self._store_errors():
            for name in names:
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, name)

    async def close(self) -> None:
        """Leave the tier; connections belong to obstore's own pool."""
        self._tier.close()

    async def _read(self, name: str) -> bytes:
        answer = await obstore.get_async(self._store, claim_name(name))
        return bytes(await answer.bytes_async())

    async def _put(self, key: FrameKey, stored: Stored, content: Path | bytes) -> None:
        with self._store_errors():
            await upload(self._store, stored.name(key), content, stored.bytes)

    @contextmanager
    def _store_errors(self, missing: ToolError | None = None) -> Iterator[None]:
        """An object that is `missing` is the asker's affair; anything else is the platform's to mend."""
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            if not is_from_store(error):
                raise
            if missing is not None and is_missing_object(error):
                raise missing from error
            raise store_fault(error, self._place) from error
