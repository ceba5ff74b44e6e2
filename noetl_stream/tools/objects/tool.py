"""The object tool: what lies in a bucket, read, written, listed and removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.connecting import first_credential, own_credential
from noetl_stream.tools.objects.config import ObjectConfig
from noetl_stream.tools.objects.place import check_file, place_of
from noetl_stream.tools.running_time import running_time


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
        from noetl_stream.tools.objects.reaching import store_for
        from noetl_stream.tools.objects.stores import local_store

        config: ObjectConfig = call.config
        place = place_of(config, first_credential(call))
        if place.provider == "file":
            check_file(self._files, place)
            if config.to is not None:
                check_file(self._files, place.sibling(config.to))
            store = local_store()
        else:
            store = await store_for(
                place,
                None if config.anonymous else own_credential(call, self.kind),
                endpoint=config.endpoint,
                region=config.region,
                allow_private=self._allow_private,
                hosts=call.hosts,
            )
        return await Operations(store, place, config, call.input).run()
