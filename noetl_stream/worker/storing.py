"""Where the values of one block go: each by its storage block, all within what one record of the log may hold."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from noetl_stream.core.messages import Offer
from noetl_stream.core.outbox import RESULT_BYTES
from noetl_stream.core.plan import Path
from noetl_stream.core.values import NeedsPayload, Piped, Ref, Value
from noetl_stream.dsl.lookup import KV_BYTES, Nothing, is_frame, part_key, parts_of, value_at
from noetl_stream.dsl.native import native
from noetl_stream.dsl.storage import Selection, Storage, Store
from noetl_stream.ports.frames import Cache
from noetl_stream.wire.values import encode_value
from noetl_stream.worker.keep import PART_BYTES, keep, key_of

log = logging.getLogger(__name__)

RECORD_BYTES = 192 * 1024
"""What the values of one record take at most, large ones counted as their references: a record stays below 256 KiB."""
MOST_INLINE = 128 * 1024
"""The largest value that an author may leave in the log."""
SELECTED_BYTES = 16 * 1024
"""The largest value that stays beside a reference because it was selected."""


class Shelf:
    """Puts a block's values where they belong. What it has put into the record leaves less room for what follows."""

    def __init__(self, cache: Cache, offer: Offer, room: int = RECORD_BYTES) -> None:
        self._cache, self._offer, self._left = cache, offer, room

    async def put(
        self,
        name: str,
        value: Any,
        paths: Iterable[Path] = (),
        storage: Storage | None = None,
        inline: float | None = None,
        ttl: float | None = None,
    ) -> Value:
        """What the record carries of `value`. `inline` are the bytes up to which its author leaves it in the log, `ttl`
        the seconds after which what is kept apart may go.
        """
        limit = min(self._limit(storage, inline), max(self._left, PART_BYTES))
        beside = _selected(value, storage, min(SELECTED_BYTES, self._offer.inline_limit))
        if beside and not isinstance(_inner(value), dict):
            limit = -1  # only a reference has room for names beside a list, a text or a number
        kept = await keep(self._cache, key_of(self._offer, name), value, inline_limit=limit, paths=paths)
        match kept:
            case Ref():
                kept = self._told(kept, storage, beside)
            case Piped(value=Ref() as ref):
                kept = replace(kept, value=self._told(ref, storage, beside))
        self._left -= len(encode_value(kept))
        if ttl is not None:
            refs = [*_refs(value), *_refs(kept)]
            await self._cache.expire(key_of(self._offer, name), refs, time.time() + ttl)
        return kept

    async def put_apart(self, name: str, value: Any, paths: Iterable[Path] = ()) -> Value:
        """A reference to `value`, however small it is."""
        return await keep(self._cache, key_of(self._offer, name), value, inline_limit=-1, paths=paths)

    def _told(self, ref: Ref, storage: Storage | None, beside: Mapping[str, Value]) -> Ref:
        """A reference that tells its store, and beside it what was selected."""
        parts = {key: part for key, part in ref.parts.items() if key.removesuffix("?") not in beside}
        return replace(ref, parts={**parts, **beside}, store=self._store(storage, ref.bytes))

    def _limit(self, storage: Storage | None, inline: float | None) -> int:
        usual = self._offer.inline_limit
        wanted = usual if inline is None else int(inline)
        if inline is None and storage is not None and storage.kind == "log":
            wanted = MOST_INLINE
        # A loop, or an execution that holds much already, leaves less than its author would.
        return min(wanted, MOST_INLINE if usual >= RESULT_BYTES else usual)

    def _store(self, storage: Storage | None, size: int) -> str | None:
        """Where a result of `size` bytes lives, if its size does not tell: what was asked for, if that is there."""
        kind: Store = "auto" if storage is None else storage.kind
        have = self._cache.kind
        named = storage is None or _is_named(storage, self._cache.place)
        if kind == "auto" or not named or not _has(kind, have, size):
            if storage is not None and (kind != "auto" or not named):
                _fall_back(storage.place, _asked(storage), have)
            return have if size > KV_BYTES and have != "disk" else None
        return have if kind == "object" else kind


def _has(kind: Store, have: str, size: int) -> bool:
    match kind:
        case "kv":
            return size <= KV_BYTES
        case "object":
            return have != "disk"
        case _:
            return kind == have


def _is_named(storage: Storage, place: str) -> bool:
    """Whether the cache stands where a storage block says, if it says where."""
    url = urlsplit(place)
    bucket, prefix = storage.bucket or url.netloc, storage.prefix or url.path
    return (bucket, prefix.strip("/")) == (url.netloc, url.path.strip("/"))


def _asked(storage: Storage) -> str:
    return " ".join(part for part in (storage.kind, storage.bucket, storage.prefix) if part)


def _refs(value: Any) -> Iterator[Ref]:
    """The references in a value, and those of the tables in it."""
    match value:
        case Ref():
            yield value
        case Piped():
            yield from _refs([value.value, value.tasks])
        case dict():
            yield from _refs(list(value.values()))
        case list() | tuple():
            for each in value:
                yield from _refs(each)
        case _ if is_frame(value):
            yield value.ref


@lru_cache(maxsize=1000)
def _fall_back(place: str, kind: str, have: str) -> None:
    """Say it once for each place."""
    log.warning("%s asks for the store '%s'; its result goes to the cache (%s)", place, kind, have)


def with_selected(value: Any, select: Iterable[Selection]) -> Any:
    """A mapping with its selections as keys of its own; what it has already stays. Anything else is as it was."""
    if not isinstance(value, dict):
        return value
    found = {each.name: value_at(value, each.path) for each in select if each.name not in value}
    new = {name: native(each) for name, each in found.items() if not isinstance(each, Nothing)}
    return {**value, **new} if new else value


def _inner(value: Any) -> Any:
    return value.value if isinstance(value, Piped) else value


def _selected(value: Any, storage: Storage | None, limit: int) -> dict[str, Value]:
    """The values that stay beside a reference, by their names."""
    beside: dict[str, Value] = {}
    for each in storage.select if storage is not None else ():
        own = (each.name,) if isinstance(_inner(value), dict) else each.path
        try:
            parts = parts_of(value, [own], limit)
        except NeedsPayload:
            continue
        beside |= {part_key((each.name,)): part for key, part in parts.items() if not key.endswith("?")}
    return beside
