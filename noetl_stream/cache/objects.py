"""The cache in an object store: compressed Arrow files behind a bounded local tier."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import ObjectStore

from noetl_stream.cache.frames import MappedFrame
from noetl_stream.cache.names import claim_name, digest_of, gone, name_of, never_created
from noetl_stream.cache.stored import Compression, decode_json, encode_json, stored_json
from noetl_stream.cache.tier import Tier
from noetl_stream.core.values import Ref, Value
from noetl_stream.errors import InfrastructureError
from noetl_stream.ports.frames import Frame, FrameKey

if TYPE_CHECKING:
    import pyarrow as pa


class ObjectCache:
    """A `ports.frames.Cache` over any store of obstore.

    What comes back from the store is compared with its hash before anybody reads it.
    """

    def __init__(self, store: ObjectStore, tier: Tier, *, compression: Compression = "lz4") -> None:
        self._store, self._tier, self._compression = store, tier, compression

    async def put_table(
        self, key: FrameKey, table: pa.Table, parts: Mapping[str, Value] | None = None
    ) -> Ref:
        from noetl_stream.cache.tables import write_table

        path = self._tier.beside()
        try:
            stored = await asyncio.to_thread(write_table, path, table, self._compression)
            await self._put(stored.name(key), path)
            self._tier.adopt(path, stored.name(key))
        finally:
            path.unlink(missing_ok=True)
        return stored.ref(key, parts)

    async def put_json(self, key: FrameKey, value: Value, parts: Mapping[str, Value] | None = None) -> Ref:
        content = encode_json(value)
        stored = stored_json(content)
        await self._put(stored.name(key), content)
        return stored.ref(key, parts)

    async def frame(self, ref: Ref) -> Frame:
        name = name_of(ref)

        async def download(path: Path) -> None:
            await self._download(ref, path)

        frame = MappedFrame(ref, await self._tier.path(name, download))
        self._tier.pin(name, frame)
        return frame

    async def json(self, ref: Ref) -> Value:
        with _store_errors(ref):
            answer = await obstore.get_async(self._store, name_of(ref))
            content = bytes(await answer.bytes_async())
        _compare(ref, sha256(content).hexdigest())
        return decode_json(content)

    async def create(self, name: str, content: bytes) -> bool:
        return await self._put(claim_name(name), content)

    async def read(self, name: str) -> bytes:
        try:
            with _store_errors():
                answer = await obstore.get_async(self._store, claim_name(name))
                return bytes(await answer.bytes_async())
        except InfrastructureError as error:
            if isinstance(error.__cause__, NotFoundError | FileNotFoundError):
                raise never_created(name) from None
            raise

    async def close(self) -> None:
        """Connections belong to obstore's own pool."""

    async def _put(self, name: str, content: Path | bytes) -> bool:
        with _store_errors():
            try:
                await obstore.put_async(self._store, name, content, mode="create")
            except AlreadyExistsError:
                return False
            return True

    async def _download(self, ref: Ref, path: Path) -> None:
        digest = sha256()
        with _store_errors(ref):
            answer = await obstore.get_async(self._store, name_of(ref))
            with path.open("wb") as file:
                async for chunk in answer.stream(min_chunk_size=8 << 20):
                    view = memoryview(chunk)
                    await asyncio.to_thread(digest.update, view)
                    await asyncio.to_thread(file.write, view)
        _compare(ref, digest.hexdigest())


def _compare(ref: Ref, digest: str) -> None:
    if not digest.startswith(digest_of(ref)):
        raise InfrastructureError(
            f"the store's bytes for {ref.uri} are not the ones written; delete them and rebuild"
        )


@contextmanager
def _store_errors(ref: Ref | None = None) -> Iterator[None]:
    """A missing object is told by its reference; anything else is the platform's to mend."""
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        if ref is not None:
            raise gone(ref) from error
        raise InfrastructureError(f"the cache's store is not there ({error}); check its URL") from error
    except (BaseError, OSError) as error:
        summary = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InfrastructureError(
            f"the cache's store failed ({summary}); check its URL, network and credentials"
        ) from error
