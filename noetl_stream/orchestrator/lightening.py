"""An offer that is too large for a record: the values it brings go to the cache, under a name of their content."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from noetl_stream.core.messages import BROUGHT, Offer
from noetl_stream.ports.frames import Cache
from noetl_stream.wire.values import encode_value

OFFER_BYTES = 192 * 1024
"""The largest offer that travels whole: with its head, a record stays below 256 KiB."""


async def lightened(cache: Cache, offer: Offer) -> Offer:
    """The offer with its values in the cache. An offer made again finds them there. Raises InfrastructureError."""
    content = encode_value({name: getattr(offer, name) for name in BROUGHT})
    name = f"offers/{offer.execution}/{sha256(content).hexdigest()[:32]}"
    await cache.create(name, content)
    return replace(offer, **BROUGHT, rest=name)
