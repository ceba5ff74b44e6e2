"""Containers at an engine of this host, Docker's or Podman's.

A label cannot be changed there and nothing outlives what is deleted, so beside each container stands an empty volume of its
name: while it is there, the end is not told. That is how one that vanished while nobody looked is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from noetl_stream.core.tokens import read
from noetl_stream.ports.tools import Call
from noetl_stream.tools.container.config import ContainerConfig
from noetl_stream.tools.container.ends import raised
from noetl_stream.tools.container.engine_api import EngineApi, EngineRefused
from noetl_stream.tools.container.engine_container import check, container_of
from noetl_stream.tools.container.engine_views import Containers, Deadlines, Late, Old
from noetl_stream.tools.container.runtime import (
    CALLBACK,
    End,
    Output,
    Seen,
    View,
    labels_of_attempt,
    name_of,
)

_NO_LOG: Final = (404, 409, 501)


class Engine:
    """One engine, which has no namespaces, and keeps no time: who watches kills what runs too long."""

    name: ClassVar[str] = "engine"

    def __init__(self, api: EngineApi) -> None:
        self._api = api

    def place_of(self, config: ContainerConfig) -> None:
        check(config)

    async def start(self, call: Call) -> str:
        """An engine starts in a second request what it was told to create, so whoever died between is caught up with here."""
        container = container_of(call, self._api.address.instance)
        name = name_of(container["Labels"][CALLBACK])
        found = await self._api.find(f"/containers/{name}/json")
        if found is None:
            await self._create(name, container)
            found = await self._api.find(f"/containers/{name}/json")
        if found is None or found["State"]["Status"] == "created":
            await self._begin(name, container["Labels"])
        return f"container {name}"

    async def _create(self, name: str, container: Mapping[str, Any]) -> None:
        try:
            await self._api.create(name, container)
        except EngineRefused as refused:
            if refused.status != 404:
                raise
            await self._pull(name, container["Image"])
            await self._api.create(name, container)

    async def _pull(self, name: str, image: str) -> None:
        try:
            await self._api.pull(image)
        except EngineRefused as refused:
            told = {"status": "failed", "job": name, "namespace": None, "exit_code": None, "result": None}
            raise raised({**told, "logs": None, "reason": "ImagePull", "message": refused.said}) from refused

    async def _begin(self, name: str, labels: Mapping[str, str]) -> None:
        """One that cannot be started would stand there for ever."""
        await self._api.create_volume(name, labels)
        try:
            await self._api.start(name)
        except EngineRefused:
            await self._api.delete_volume(name)
            await self._api.delete(name)
            raise

    async def output(self, call: Call, name: str | None) -> Output:
        started = await self._api.containers(self._of_attempt(call))
        names = [name_of(each["Labels"][CALLBACK]) for each in started]
        if not names:
            return Output(name, None)
        found = name if name in names else names[-1]
        lines = call.config.log_lines
        return Output(found, await self._log_of(found, lines) if lines else None)

    async def _log_of(self, name: str, lines: int) -> str | None:
        """None where there is none: it is gone, or the engine sends its containers' output elsewhere."""
        try:
            return await self._api.log(name, lines)
        except EngineRefused as refused:
            if refused.status not in _NO_LOG:
                raise
            return None

    async def stop(self, call: Call) -> None:
        for volume in await self._api.volumes(self._of_attempt(call)):
            await self._api.delete(volume["Name"])
            await self._api.delete_volume(volume["Name"])

    def views(self) -> tuple[View, ...]:
        deadlines = Deadlines()
        return Containers(self._api, deadlines), Late(self._api, deadlines), Old(self._api)

    async def mark(self, seen: Seen, end: End) -> None:
        """One that is cancelled is deleted first: without its volume nobody would know that it still runs."""
        if end == "cancelled":
            await self._api.delete(seen.name)
        await self._api.delete_volume(seen.name)

    async def delete(self, seen: Seen) -> None:
        await self._api.delete(seen.name)

    async def close(self) -> None:
        await self._api.close()

    def _of_attempt(self, call: Call) -> dict[str, str]:
        return labels_of_attempt(self._api.address.instance, read(call.callback))
