"""Credentials from the keychain's topic, opened on the worker: held for seconds, then dropped, never written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from noetl_stream.errors import InfrastructureError, ToolError
from noetl_stream.keychain.keys import Keys
from noetl_stream.keychain.scopes import places
from noetl_stream.keychain.sealing import Name, unseal
from noetl_stream.keychain.topic import FRESH, KeychainTopic
from noetl_stream.ports.credentials import Secret, Wanted
from noetl_stream.wire.records import CredentialStored, Sealed

PROVIDER: Final = "keychain"
HELD: Final = 30.0
"""Seconds for which an opened value stays in memory, so that a loop does not open it for every iteration."""
MOST_HELD: Final = 1000
_RENAMING: Final = ("ref", "credential", "key")
"""Settings that name what is stored, where a document calls it otherwise."""

Fields: TypeAlias = str | Mapping[str, Any]


@dataclass(slots=True)
class StoredCredentials:
    """A `ports.credentials.Credentials`. `keys` is None where this process has none: then nothing can be opened."""

    topic: KeychainTopic
    keys: Keys | None
    _held: dict[tuple[Name, int, int], Fields] = field(default_factory=dict, repr=False)

    async def resolve(self, wanted: Wanted) -> Secret:
        alias = stored_alias(wanted)
        try:
            name, offset, stored = await self._find(wanted, alias)
            sealed = self._version(wanted, stored)
            value = await self._open(name, offset, sealed)
        except InfrastructureError as error:
            raise ToolError(
                f"credential '{wanted.alias}' cannot be opened: {error}", kind="credential", retryable=True
            ) from error
        return Secret(wanted.alias, value, provider=PROVIDER, version=sealed.version, source=alias)

    async def _find(self, wanted: Wanted, alias: str) -> tuple[Name, int, CredentialStored]:
        """The nearest one. The topic is read to its end before an alias is told to be unknown."""
        for within in (FRESH, 0.0):
            await self.topic.catch_up(within=within)
            for name in places(wanted, alias):
                if (placed := self.topic.standing.names.get(name)) is not None:
                    return name, placed.offset, placed.check()
        raise refused(wanted, _absent(wanted, alias))

    def _version(self, wanted: Wanted, stored: CredentialStored) -> Sealed:
        """The newest, or the one that is asked for while it is kept."""
        asked, (newest, *before) = wanted.settings.get("version"), stored.versions
        if asked in (None, "", newest.version, str(newest.version)):
            return newest
        kept = stored.kept_until is not None and self.topic.now() < stored.kept_until
        for sealed in before if kept else ():
            if asked in (sealed.version, str(sealed.version)):
                return sealed
        raise refused(
            wanted, f"is not kept in version {asked}; its newest is {newest.version}, ask for no version"
        )

    async def _open(self, name: Name, offset: int, sealed: Sealed) -> Fields:
        key = (name, offset, sealed.version)
        if key in self._held:
            return self._held[key]
        if self.keys is None:
            raise InfrastructureError(
                "this worker has no key; name its file in NOETL_STREAM_KEYCHAIN_KEY_FILE and start it again"
            )
        value = await unseal(sealed, name=name, keys=self.keys)
        if len(self._held) < MOST_HELD:
            self._held[key] = value
            asyncio.get_running_loop().call_later(HELD, self._held.pop, key, None)
        return value


def stored_alias(wanted: Wanted) -> str:
    """What it is called in the keychain: as the document says, else as it is called there."""
    if wanted.kind is None:
        return wanted.alias
    named = (wanted.settings.get(key) for key in _RENAMING)
    return next((each for each in named if isinstance(each, str) and each), wanted.alias)


def refused(wanted: Wanted, why: str) -> ToolError:
    """A credential that cannot be had, as the error of the task that needs it."""
    return ToolError(f"credential '{wanted.alias}' {why}", kind="credential")


def _absent(wanted: Wanted, alias: str) -> str:
    called = "" if alias == wanted.alias else f" as '{alias}'"
    scope = wanted.scope or wanted.settings.get("scope")
    where = f" in scope {scope}" if scope else ""
    return (
        f"is not in the keychain of tenant '{wanted.tenant}'{called}{where} for playbook '{wanted.path}'; "
        f"set it with `noetl-stream keychain set {alias}`"
    )
