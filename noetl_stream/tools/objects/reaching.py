"""The store of a place: at the address of its credential, or at one of the document's that may be called."""

from __future__ import annotations

from typing import Final

import httpx
from obstore.store import ObjectStore

from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.connecting import field_of
from noetl_stream.tools.http.hosts import check_listed
from noetl_stream.tools.objects.place import ENDPOINT, REGION, Place, checked_endpoint
from noetl_stream.tools.objects.stores import default_endpoint, store_of

_REGION: Final = "us-east-1"


async def store_for(
    place: Place,
    secret: Secret | None,
    *,
    endpoint: str | None,
    region: str | None,
    allow_private: bool,
    hosts: tuple[str, ...] | None,
) -> ObjectStore:
    """The client; `endpoint` and `region` are what the document says. Without a secret it asks as nobody.

    Raises:
        ToolError: the address may not be called, or the secret has not what the store wants.
    """
    where = str(region or (secret and field_of(secret, REGION)) or _REGION)
    own = None if secret is None else field_of(secret, ENDPOINT)
    if own and secret is not None and secret.operators:
        return store_of(place, secret, str(own), where)
    if said := own or endpoint:
        asked = await checked_endpoint(str(said), allow_private=allow_private, hosts=hosts)
    else:
        asked = default_endpoint(place, where, secret)
        check_listed(httpx.URL(asked), hosts)
    return store_of(place, secret, asked, where)
