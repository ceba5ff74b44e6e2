"""The object tool: what lies in a bucket, read, written, listed and removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
from pydantic import BaseModel

from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.connecting import field_of, first_credential, own_credential
from noetl_stream.tools.http.hosts import check_listed
from noetl_stream.tools.objects.config import ObjectConfig
from noetl_stream.tools.objects.place import ENDPOINT, REGION, Place, check_file, checked_endpoint, place_of
from noetl_stream.tools.running_time import running_time

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_REGION = "us-east-1"


class Object:
    """`kind: object`, also `s3` and `gcs`."""

    kind: ClassVar[str] = "object"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = ObjectConfig

    def __init__(self, *, allow_private: bool = False, files: Path | None = None) -> None:
        """`allow_private` lets a document name a private endpoint; `files` is the folder that file:// may reach."""
        self._allow_private, self._files = allow_private, files

    async def run(self, call: Call) -> Done:
        async with running_time(self.kind, call.timeout):
            return Done(value=await self._run(call))

    async def close(self) -> None:
        """Connections belong to obstore's own pool."""

    async def _run(self, call: Call) -> Any:
        # obstore and Arrow are loaded by the first task, not to know what tools there are.
        from noetl_stream.tools.objects.operations import Operations
        from noetl_stream.tools.objects.stores import local_store

        config: ObjectConfig = call.config
        place = place_of(config, first_credential(call))
        if place.provider == "file":
            check_file(self._files, place)
            if config.to is not None:
                check_file(self._files, place.sibling(config.to))
            store = local_store()
        else:
            store = await self._store(call, place)
        return await Operations(store, place, config, call.input).run()

    async def _store(self, call: Call, place: Place) -> ObjectStore:
        from noetl_stream.tools.objects.stores import store_of

        config: ObjectConfig = call.config
        secret = None if config.anonymous else own_credential(call, self.kind)
        region = config.region or (secret and field_of(secret, REGION)) or _REGION
        endpoint = await self._endpoint(call, place, str(region), secret)
        return store_of(place, secret, endpoint, str(region))

    async def _endpoint(self, call: Call, place: Place, region: str, secret: Secret | None) -> str:
        from noetl_stream.tools.objects.stores import default_endpoint

        own = None if secret is None else field_of(secret, ENDPOINT)
        if own and secret is not None and secret.operators:
            return str(own)
        if said := own or call.config.endpoint:
            return await checked_endpoint(str(said), allow_private=self._allow_private, hosts=call.hosts)
        endpoint = default_endpoint(place, region, secret)
        check_listed(httpx.URL(endpoint), call.hosts)
        return endpoint
