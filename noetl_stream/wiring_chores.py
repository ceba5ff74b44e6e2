"""The platform's chores, put together: the log, the shared cache and the keychain of an installation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from noetl_stream.cache.disk import sweep as sweep_folders
from noetl_stream.cache.local import UNFINISHED
from noetl_stream.cache.tier import PROCESSES
from noetl_stream.core.values import Value
from noetl_stream.errors import InfrastructureError, ToolError
from noetl_stream.keychain.standing import Standing
from noetl_stream.keychain.topic import KeychainTopic
from noetl_stream.replay.failing import failed_since
from noetl_stream.replay.standing import standing
from noetl_stream.replay.sweeping import sweep
from noetl_stream.settings import Settings
from noetl_stream.tools.system import POOL
from noetl_stream.wiring import Platform
from noetl_stream.wiring_keychain import keys_of

ACTOR = "system"
"""Who changes the keychain here, as its audit tells."""
LISTED = 100
PLAYBOOKS = Path(__file__).parent / "system"


class PlatformChores:
    """`ports.chores.Chores` over open connections. `now` is in seconds."""

    def __init__(self, platform: Platform, now: Callable[[], float] = time.time) -> None:
        self._platform, self._now = platform, now

    async def expire_results(self) -> Value:
        stands = await standing(self._platform.reader, self._platform.topics)
        found = await sweep(self._platform.cache, stands, self._now())
        return {"removed": len(found.gone), "needed": len(found.needed)}

    async def clear_scratch(self) -> Value:
        settings = self._platform.settings
        roots = [settings.scratch, settings.data / "tier" / PROCESSES]
        if isinstance(settings.cache_place, Path):
            roots.append(settings.cache_place / UNFINISHED)
        try:
            return {"removed": sum([await asyncio.to_thread(sweep_folders, root) for root in roots])}
        except OSError as error:
            raise InfrastructureError(
                f"scratch under {settings.data} cannot be cleared ({error.strerror or error}); check its permissions"
            ) from error

    async def renew_keys(self) -> Value:
        keys = keys_of(self._platform.settings)
        if keys is None:
            raise ToolError(
                "this worker has no key; name one in NOETL_STREAM_KEYCHAIN_KEY_FILE", kind="credential"
            )
        platform = self._platform
        topic = KeychainTopic(
            platform.log, platform.reader, platform.topics.keychain.name, Standing(history=True)
        )
        await topic.catch_up()
        return {"renewed": [name.alias for name in await topic.rotate_key(ACTOR, keys)]}

    async def failed_executions(self, within: float) -> Value:
        platform = self._platform
        found = await failed_since(platform.reader, platform.topics, self._now() - within)
        return {"count": len(found), "executions": found[:LISTED]}


async def register_chores(platform: Platform) -> None:
    """Put the chores' playbooks into the catalog, as `system/NAME`. The same text again is no new version."""
    for file in sorted(PLAYBOOKS.glob("*.yaml")):
        await platform.catalog.register(f"system/{file.stem}", file.read_text())


def with_chores(settings: Settings) -> Settings:
    """The settings with the pool that does them."""
    return settings.model_copy(update={"pools": tuple(dict.fromkeys((*settings.pools, POOL)))})
