"""From a configured place to a cache."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from noetl_stream.cache.local import LocalCache
from noetl_stream.errors import InvalidRequest
from noetl_stream.ports.frames import Cache

REMOTE = frozenset({"s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "file", "memory"})


def open_cache(place: str | Path, *, tier: Path, tier_bytes: int) -> Cache:
    """A cache at a path (mapped in place), or at a URL of an object store behind a local tier of `tier_bytes`.

    `file://` goes through the object-store client too: it is how a shared mount is used like a store.

    Raises:
        InvalidRequest: no store has this scheme.
    """
    scheme = urlsplit(str(place)).scheme
    if not scheme:
        return LocalCache(Path(place))
    if scheme not in REMOTE:
        raise InvalidRequest(
            f"'{place}' is no place for a cache; use a path or one of {', '.join(sorted(REMOTE))}://"
        )
    return _remote(str(place), scheme, tier, tier_bytes)


def _remote(url: str, scheme: str, tier: Path, tier_bytes: int) -> Cache:
    from obstore.store import LocalStore, MemoryStore, from_url

    from noetl_stream.cache.objects import ObjectCache
    from noetl_stream.cache.tier import Tier

    local = Tier(tier, tier_bytes)
    match scheme:
        case "file":
            return ObjectCache(LocalStore(url2pathname(urlsplit(url).path), mkdir=True), local)
        case "memory":
            return ObjectCache(MemoryStore(), local)
        case _:
            return ObjectCache(from_url(url), local)
