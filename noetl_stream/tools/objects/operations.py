"""One object task at its store: content goes through files where it is a table, and in pieces where it is large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools.objects.bodies import (
    CONTENT_TYPES,
    chosen,
    decoded,
    encoded,
    read_table,
    write_table,
)
from noetl_stream.tools.objects.config import TABLES, Format, ObjectConfig, format_of
from noetl_stream.tools.objects.failing import failed
from noetl_stream.tools.objects.place import Place

if TYPE_CHECKING:
    from obstore import PutMode

_PIECE: Final = 4 << 20
_PAGE: Final = 1000


class Operations:
    """A task's one operation. `inputs` are its own: among them may be the body."""

    def __init__(
        self, store: ObjectStore, place: Place, config: ObjectConfig, inputs: Mapping[str, Value]
    ) -> None:
        self._store, self._place, self._config, self._inputs = store, place, config, inputs

    async def run(self) -> dict[str, Any]:
        if not self._place.key and self._config.operation != "list":
            raise ToolError(f"{self._place.uri} names no object; add its key", kind="validation")
        with self._store_errors():
            match self._config.operation:
                case "get":
                    return await self._get()
                case "put":
                    return await self._put()
                case "list":
                    return await self._list()
                case "delete":
                    return await self._delete()
                case "head":
                    return await self._head()
                case "copy":
                    return await self._copy()

    async def _get(self) -> dict[str, Any]:
        answer = await obstore.get_async(self._store, self._place.key)
        if answer.meta["size"] > self._config.max_bytes:
            raise ToolError(
                f"{self._place.uri} has {answer.meta['size']:,} bytes, {self._config.max_bytes:,} are read at most; "
                "raise `max_bytes`, or read it in place with duckdb or polars",
                kind="client_error",
                code="too_large",
            )
        format = self._config.format or format_of(self._place.key) or "bytes"
        about = {**_about(answer.meta), "uri": self._place.uri, "format": format}
        pieces = answer.stream(min_chunk_size=_PIECE)
        if format in TABLES:
            table = await self._table(pieces, format)
            return {**about, "rows": table, "columns": table.column_names, "row_count": table.num_rows}
        content = b"".join([bytes(piece) async for piece in pieces])
        return {**about, "data": decoded(content, format, self._place.uri)}

    async def _table(self, pieces: AsyncIterator[Any], format: Format) -> Any:
        with TemporaryDirectory(prefix="noetl-object-") as folder:
            path = Path(folder) / "content"
            with path.open("wb") as file:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
            return await asyncio.to_thread(read_table, path, format, self._place.uri)

    async def _put(self) -> dict[str, Any]:
        body = self._body()
        format = chosen(self._config.format, self._place.key, body)
        if format not in TABLES or isinstance(body, str | bytes):
            return await self._write(encoded(body, format), format)
        with TemporaryDirectory(prefix="noetl-object-") as folder:
            path = Path(folder) / "content"
            await asyncio.to_thread(write_table, body, format, path)
            return await self._write(path, format)

    async def _write(self, content: bytes | Path, format: Format) -> dict[str, Any]:
        created = True
        try:
            await self._send(content, format)
        except AlreadyExistsError:
            # An earlier try of ours whose answer got lost finds itself here.
            if await self._digest() != await asyncio.to_thread(_digest_of, content):
                raise
            created = False
        meta = await obstore.head_async(self._store, self._place.key)
        return {**_about(meta), "uri": self._place.uri, "format": format, "created": created}

    async def _send(self, content: bytes | Path, format: Format) -> None:
        # Files have no place for a content type.
        said = self._config.content_type or CONTENT_TYPES[format]
        attributes: Any = None if self._place.provider == "file" else {"Content-Type": said}
        # A condition and several parts do not go together.
        parts = None if not self._config.if_absent else False
        mode: PutMode = "create" if self._config.if_absent else "overwrite"
        await obstore.put_async(
            self._store, self._place.key, content, attributes=attributes, mode=mode, use_multipart=parts
        )

    async def _digest(self) -> str:
        digest = sha256()
        answer = await obstore.get_async(self._store, self._place.key)
        async for piece in answer.stream(min_chunk_size=_PIECE):
            digest.update(piece)
        return digest.hexdigest()

    async def _list(self) -> dict[str, Any]:
        prefix = self._place.key or None
        if self._config.folders:
            found = await obstore.list_with_delimiter_async(self._store, prefix=prefix)
            objects, folders = list(found["objects"]), list(found["common_prefixes"])
        else:
            objects, folders = await self._listed(prefix), []
        shown = [_about(each) for each in objects[: self._config.limit]]
        return {
            "uri": self._place.uri,
            "objects": shown,
            "folders": folders,
            "count": len(shown),
            "truncated": len(objects) > self._config.limit,
        }

    async def _listed(self, prefix: str | None) -> list[Any]:
        """One more than are asked for, to know whether there are more."""
        found: list[Any] = []
        async for page in obstore.list(
            self._store,
            prefix=prefix,
            offset=self._config.after,
            chunk_size=min(_PAGE, self._config.limit + 1),
        ):
            found += page
            if len(found) > self._config.limit:
                break
        return found

    async def _delete(self) -> dict[str, Any]:
        deleted = True
        try:
            await obstore.delete_async(self._store, self._place.key)
        except FileNotFoundError as error:
            if not self._config.missing_ok or self._lacks_bucket(error):
                raise
            deleted = False
        return {"uri": self._place.uri, "deleted": deleted}

    async def _head(self) -> dict[str, Any]:
        try:
            meta = await obstore.head_async(self._store, self._place.key)
        except FileNotFoundError as error:
            if self._lacks_bucket(error):
                raise
            return {"uri": self._place.uri, "exists": False}
        return {**_about(meta), "uri": self._place.uri, "exists": True}

    def _lacks_bucket(self, error: FileNotFoundError) -> bool:
        """It is another matter than a missing object."""
        return failed(error, self._place.uri).code != "not_found"

    async def _copy(self) -> dict[str, Any]:
        to = self._place.sibling(str(self._config.to))
        await obstore.copy_async(self._store, self._place.key, to.key, overwrite=not self._config.if_absent)
        meta = await obstore.head_async(self._store, to.key)
        return {**_about(meta), "uri": to.uri, "from": self._place.uri}

    def _body(self) -> Any:
        if self._config.body is not None:
            return self._config.body
        if "body" in self._inputs:
            return self._inputs["body"]
        raise ToolError("put needs a `body`, or an input of this name", kind="validation")

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            # The store's own text may quote a signed URL, so the cause is not shown either.
            raise failed(error, self._place.uri) from None


def _about(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": meta["path"],
        "size": meta["size"],
        "etag": meta["e_tag"],
        "last_modified": meta["last_modified"].isoformat(),
    }


def _digest_of(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return sha256(content).hexdigest()
    with content.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
