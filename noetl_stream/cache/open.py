"""From a configured place to a cache that is known to work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from noetl_stream.cache.local import LocalCache
from noetl_stream.errors import InfrastructureError, InvalidRequest
from noetl_stream.ports.frames import Sweepable

if TYPE_CHECKING:
    from noetl_stream.cache.objects import ObjectCache
    from noetl_stream.cache.transfer import Patience

REMOTE = frozenset({"s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "file", "memory"})


async def open_cache(
    place: str | Path,
    *,
    tier: Path,
    tier_bytes: int,
    options: tuple[str, ...] = (),
    within: float = 10.0,
    patience: Patience | None = None,
) -> Sweepable:
    """A cache at a path (mapped in place), or at a URL of an object store behind a local tier of `tier_bytes`.

    `file://` goes through the object-store client too: it is how a shared mount is used like a store. `options` are
    the store's own, as KEY=VALUE; what they leave open the provider's variables say.

    Raises:
        InvalidRequest: no store has this scheme, or no such option.
        InfrastructureError: the cache cannot be written and read within `within` seconds.
    """
    scheme = urlsplit(str(place)).scheme
    if not scheme:
        local = LocalCache(Path(place))
        await local.check()
        return local
    if scheme not in REMOTE:
        raise InvalidRequest(
            f"'{place}' is no place for a cache; use a path or one of {', '.join(sorted(REMOTE))}://"
        )
    cache = remote(str(place), tier=tier, tier_bytes=tier_bytes, options=options, patience=patience)
    try:
        async with asyncio.timeout(within):
            await cache.check()
    except TimeoutError:
        raise InfrastructureError(
            f"the cache at {place} did not answer within {within:g} s; check its endpoint and the network"
        ) from None
    return cache


def remote(
    url: str, *, tier: Path, tier_bytes: int, options: tuple[str, ...] = (), patience: Patience | None = None
) -> ObjectCache:
    """The cache at a URL, of which nobody knows yet whether it works. Raises InvalidRequest."""
    from obstore.exceptions import BaseError
    from obstore.store import LocalStore, MemoryStore, from_url

    from noetl_stream.cache.objects import ObjectCache
    from noetl_stream.cache.tier import Tier
    from noetl_stream.cache.transfer import Patience

    patience = patience or Patience()
    local = Tier(tier, tier_bytes)
    match urlsplit(url).scheme:
        case "file":
            return ObjectCache(LocalStore(url2pathname(urlsplit(url).path), mkdir=True), local, place=url)
        case "memory":
            return ObjectCache(MemoryStore(), local, place=url)
        case _:
            more: Mapping[str, Any] = _pairs(options)
            try:
                store = from_url(url, client_options=patience.client(), retry_config=patience.retry(), **more)
            except (BaseError, ValueError) as error:
                reason = str(error).partition("\n")[0].rstrip(".")
                raise InvalidRequest(
                    f"the cache at {url} cannot be used ({reason}); see docs/cache.md"
                ) from None
            return ObjectCache(store, local, place=url)


def _pairs(options: tuple[str, ...]) -> dict[str, str]:
    for option in options:
        if "=" not in option:
            raise InvalidRequest(
                "an option of the cache's store is no KEY=VALUE; correct NOETL_STREAM_CACHE_OPTIONS"
            )
    return dict(option.split("=", 1) for option in options)
