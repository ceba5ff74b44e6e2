"""What a watcher sees of an engine: containers whose end is not told, those that run too long, and those that ended long ago."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from noetl_stream.core.tokens import Token, read
from noetl_stream.errors import InvalidRequest
from noetl_stream.tools.container.engine_api import EngineApi
from noetl_stream.tools.container.engine_container import TOKEN, deadline_of, end_of, finished, why
from noetl_stream.tools.container.runtime import CALLBACK, INSTANCE, KEPT_SECONDS, Seen, Sight, name_of

log = logging.getLogger(__name__)

TIDY_SECONDS: Final = 600.0


class Deadlines:
    """When containers have run for too long, in seconds since 1970."""

    def __init__(self) -> None:
        self._moments: dict[str, float] = {}
        self._changed = asyncio.Event()

    def clear(self) -> None:
        self._moments.clear()

    def set(self, name: str, moment: float | None) -> None:
        """None: it has none any more."""
        self._moments.pop(name, None)
        if moment is not None:
            self._moments[name] = moment
            self._changed.set()

    async def next(self) -> str:
        """A container that has run too long, once there is one."""
        while True:
            self._changed.clear()
            name = min(self._moments, key=self._moments.__getitem__, default=None)
            left = None if name is None else self._moments[name] - time.time()
            if name is not None and left is not None and left <= 0:
                return name
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                continue


class Containers:
    """The containers of the installation whose volume is there."""

    name: ClassVar[str] = "containers"

    def __init__(self, api: EngineApi, deadlines: Deadlines) -> None:
        self._api, self._deadlines = api, deadlines

    async def follow(self, sight: Sight, /) -> None:
        own = {INSTANCE: self._api.address.instance}
        async with self._api.events(own) as events:
            sight.forget("")
            self._deadlines.clear()
            for volume in await self._api.volumes(own):
                await self._show(volume, sight)
            async for event in events:
                # Docker and Podman have other words for the same, so whatever happens is a reason to look.
                if digest := event.get("Actor", {}).get("Attributes", {}).get(CALLBACK):
                    await self._look(name_of(digest), sight)

    async def _look(self, name: str, sight: Sight) -> None:
        volume = await self._api.find(f"/volumes/{name}")
        if volume is not None:
            await self._show(volume, sight)

    async def _show(self, volume: Mapping[str, Any], sight: Sight) -> None:
        if (token := _waiting(volume)) is None:
            return
        name = volume["Name"]
        found = await self._api.find(f"/containers/{name}/json")
        self._deadlines.set(name, None if found is None or end_of(found) else deadline_of(found))
        await sight.see(_seen(name, token, found))


class Late:
    """Nothing is shown here: what is killed is shown by its end."""

    name: ClassVar[str] = "deadlines of containers"

    def __init__(self, api: EngineApi, deadlines: Deadlines) -> None:
        self._api, self._deadlines = api, deadlines

    async def follow(self, sight: Sight, /) -> None:
        while True:
            name = await self._deadlines.next()
            await self._api.kill(name)
            self._deadlines.set(name, None)


class Old:
    """Nothing is shown here: what has ended and is told of is deleted after a day."""

    name: ClassVar[str] = "old containers"

    def __init__(self, api: EngineApi) -> None:
        self._api = api

    async def follow(self, sight: Sight, /) -> None:
        old = time.time() - KEPT_SECONDS
        for each in await self._api.containers({INSTANCE: self._api.address.instance}):
            if each["Created"] <= old:
                await self._delete_ended(name_of(each["Labels"][CALLBACK]), old)
        await asyncio.sleep(TIDY_SECONDS)

    async def _delete_ended(self, name: str, before: float) -> None:
        found = await self._api.find(f"/containers/{name}/json")
        over = found is not None and end_of(found) is not None and finished(found) <= before
        if over and await self._api.find(f"/volumes/{name}") is None:
            await self._api.delete(name)


def _seen(name: str, token: Token, found: Mapping[str, Any] | None) -> Seen:
    if found is None:
        return Seen(key=name, name=name, place="", token=token, end="lost")
    end = end_of(found)
    code = None if end is None else int(found["State"]["ExitCode"])
    return Seen(key=name, name=name, place="", token=token, end=end, exit_code=code, why=why(found))


def _waiting(volume: Mapping[str, Any]) -> Token | None:
    """Who waits for its container; None, with a warning, where somebody else has made a volume of such labels."""
    try:
        return read(str((volume.get("Labels") or {}).get(TOKEN, "")))
    except InvalidRequest:
        log.warning("volume %s has no label %s; nobody hears of its container's end", volume["Name"], TOKEN)
        return None
