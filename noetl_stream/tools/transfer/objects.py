"""Objects of a store as files: read in ranges as they are asked for, written whole from a file that nobody else sees."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from noetl_stream.errors import ToolError
from noetl_stream.tools.objects.failing import failed
from noetl_stream.tools.transfer.bridge import Bridge

_PART: Final = 8 << 20


class Objects:
    """Implements `Store`; names are urls. What asks the store runs on the loop, and is cancelled there."""

    def __init__(self, store: ObjectStore, bridge: Bridge, said: str) -> None:
        self._store, self._bridge, self._said = store, bridge, said

    def matching(self, name: str) -> list[str]:
        base, key = _parted(name)
        if "*" not in key and not key.endswith("/"):
            return [name]
        pattern = _pattern(key + "*" if key.endswith("/") else key)
        keys = self._ask(name, lambda: self._listed(key.partition("*")[0]))
        found = sorted(base + each for each in keys if pattern.fullmatch(each))
        if not found:
            raise ToolError(f"{self._said}: there is no object '{name}'; check its key", kind="client_error")
        return found

    def exists(self, name: str) -> bool:
        try:
            self._bridge.run(_begun(lambda: obstore.head_async(self._store, _key(name))))
        except FileNotFoundError:
            return False
        except BaseError as error:
            raise failed(error, name) from None
        return True

    def reading(self, name: str) -> BinaryIO:
        size = self._ask(name, lambda: obstore.head_async(self._store, _key(name)))["size"]
        return cast(BinaryIO, Ranges(self, name, size))

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        with tempfile.NamedTemporaryFile(prefix="noetl-transfer-") as file:
            yield cast(BinaryIO, file)
            file.flush()
            path = Path(file.name)
            self._ask(name, lambda: obstore.put_async(self._store, _key(name), path, chunk_size=_PART))

    def remove(self, name: str) -> None:
        self._ask(name, lambda: obstore.delete_async(self._store, _key(name)))

    def piece(self, name: str, start: int, length: int) -> bytes:
        return bytes(
            self._ask(
                name, lambda: obstore.get_range_async(self._store, _key(name), start=start, length=length)
            )
        )

    def stop(self) -> None:
        self._bridge.stop()

    async def _listed(self, prefix: str) -> list[str]:
        # A store lists by whole folders.
        folder = prefix.rpartition("/")[0] or None
        return [each["path"] async for page in obstore.list(self._store, prefix=folder) for each in page]

    def _ask(self, name: str, begin: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return self._bridge.run(_begun(begin))
        except (BaseError, FileNotFoundError) as error:
            raise failed(error, name) from None  # what a store says may quote a signature


class Ranges(io.RawIOBase):
    """One object, open: each read is one request."""

    def __init__(self, objects: Objects, name: str, size: int) -> None:
        self._objects, self._name, self._size, self._at = objects, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self._at, 0)
        length = left if size is None or size < 0 else min(size, left)
        found = self._objects.piece(self._name, self._at, length) if length else b""
        self._at += len(found)
        return found


async def _begun(begin: Callable[[], Awaitable[Any]]) -> Any:
    """obstore begins on the loop, or not at all."""
    return await begin()


def _parted(name: str) -> tuple[str, str]:
    scheme, _, rest = name.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}/", key


def _key(name: str) -> str:
    return _parted(name)[1]


def _pattern(key: str) -> re.Pattern[str]:
    """`*` stands for what is between two slashes."""
    return re.compile("[^/]*".join(map(re.escape, key.split("*"))))
