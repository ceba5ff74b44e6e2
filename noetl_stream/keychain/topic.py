"""The keychain's topic: read up to its end when it must be fresh, and changed one credential at a time.

Two who change one credential at once get versions in log order: whoever finds that somebody was there first writes again.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import orjson

from noetl_stream.errors import InvalidRequest
from noetl_stream.keychain.keys import Keys
from noetl_stream.keychain.sealing import Name, rewrap, seal, unseal
from noetl_stream.keychain.standing import Placed, Standing
from noetl_stream.ports.log import Appender, Reader
from noetl_stream.wire.codec import encode
from noetl_stream.wire.records import CredentialChanged, CredentialStored

KEPT = 3600.0
"""Seconds for which a rotated credential's version before can still be asked for, unless told otherwise."""
FRESH = 2.0
"""Seconds after which the topic's end is asked for again: a change is seen by then."""

_APART = 0.05
"""Seconds by which two who meet over one credential are drawn apart, at most, each time they meet."""

Action: TypeAlias = Literal["set", "rotate", "rotate-key", "delete"]
Make: TypeAlias = Callable[[CredentialStored | None, int], Awaitable[CredentialStored | None]]
"""From what stands and the highest version so far, what shall stand."""


@dataclass(slots=True)
class KeychainTopic:
    """Credentials as they stand. `now` is the wall clock that records carry, seconds since the epoch; `clock` tells what
    is fresh."""

    log: Appender
    reader: Reader
    name: str
    standing: Standing = field(default_factory=Standing)
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    _position: int = 0
    _read_at: float = float("-inf")
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def catch_up(self, *, within: float = 0.0) -> None:
        """Read on, unless somebody has begun to in the last `within` seconds. Many who ask at once read once.

        Raises InfrastructureError if the broker does not give it.
        """
        since = self.clock() - within
        async with self._reading:
            if self._read_at >= since:
                return
            began = self.clock()
            end = await self.reader.end(self.name, 0)
            if end < self._position:  # the topic was made anew: what it held before is no longer so
                self.standing.clear()
                self._position = 0
            start = max(self._position, await self.reader.begin(self.name, 0))
            async for record in self.reader.read(self.name, 0, start, end):
                self.standing.fold(record)
            self._position, self._read_at = end, began

    async def change(
        self, name: Name, action: Action, actor: str | None, make: Make
    ) -> CredentialStored | None:
        """Carry out a change, once: what stands after it, or None if `make` wants none.

        Says it first, so that no change goes without its record. Needs the history. Raises like `Appender.append`.
        """
        await self.catch_up()
        change, turn = uuid.uuid4().hex, 0
        base = before = self.standing.before(name)
        while True:
            stands = _stored(base)
            stored = await make(stands, self.standing.newest(name))
            if stored is None and not turn:
                return None
            # What came in between shall stand again if there is nothing to add to it.
            stored = stands if stored is None else replace(stored, change=change)
            await self._say(name, action if stored else "delete", actor, change, stored)
            offset = await self._put(name, stored)
            await self.catch_up()
            found = self.standing.before(name, offset)
            if _same(found, before):
                return stored
            base, before = found, Placed(offset=offset, stored=stored)
            turn += 1
            await asyncio.sleep(random.uniform(0, _APART * turn))

    async def delete(self, name: Name, actor: str | None) -> None:
        """Take a credential away, all versions of it. Raises InvalidRequest if there is none."""
        await self.catch_up()
        if name not in self.standing.names:
            raise unknown(name, self.standing)
        await self._say(name, "delete", actor, uuid.uuid4().hex, None)
        await self._put(name, None)

    async def _put(self, name: Name, stored: CredentialStored | None) -> int:
        value = None if stored is None else encode(stored)
        return await self.log.append(self.name, value, key=name.key, partition=0)

    async def _say(
        self, name: Name, action: Action, actor: str | None, change: str, stored: CredentialStored | None
    ) -> None:
        said = CredentialChanged(
            **_named(name),
            change=change,
            action=action,
            time=self.now(),
            actor=actor,
            version=stored.versions[0].version if stored else None,
            key=stored.versions[0].key if stored else None,
        )
        key = orjson.dumps([*orjson.loads(name.key), change])
        await self.log.append(self.name, encode(said), key=key, partition=0)

    async def set(
        self, name: Name, value: str | Mapping[str, Any], *, type: str | None, actor: str | None, keys: Keys
    ) -> CredentialStored:
        """A new credential, or another value for one: those who ask from now on get it, and nobody the one before."""

        async def make(stands: CredentialStored | None, newest: int) -> CredentialStored:
            now = self.now()
            sealed = await seal(value, name=name, version=newest + 1, time=now, actor=actor, keys=keys)
            of = type if type is not None or stands is None else stands.type
            return CredentialStored(**_named(name), change="", time=now, type=of, versions=(sealed,))

        stored = await self.change(name, "set", actor, make)
        assert stored is not None  # `make` always wants one
        return stored

    async def rotate(
        self,
        name: Name,
        value: str | Mapping[str, Any],
        *,
        actor: str | None,
        keys: Keys,
        keep: float = KEPT,
    ) -> CredentialStored:
        """A new version, the fields of `value` over those it has; the one before can be asked for by its number for
        `keep` seconds. Raises InvalidRequest if there is none."""

        async def make(stands: CredentialStored | None, newest: int) -> CredentialStored | None:
            if stands is None:
                return None
            now, whole = self.now(), value
            if isinstance(value, Mapping):
                before = await unseal(stands.versions[0], name=name, keys=keys)
                whole = {**before, **value} if isinstance(before, Mapping) else value
            sealed = await seal(whole, name=name, version=newest + 1, time=now, actor=actor, keys=keys)
            versions = (sealed, stands.versions[0])
            return replace(stands, time=now, versions=versions, kept_until=now + keep)

        stored = await self.change(name, "rotate", actor, make)
        if stored is None:
            raise unknown(name, self.standing)
        return stored

    async def rotate_key(self, actor: str | None, keys: Keys) -> tuple[Name, ...]:
        """Wrap every credential's data key, of all tenants, by the current key. Returns those that stood under another.

        What cannot be done for one raises InfrastructureError; those before it are done, and asking again goes on.
        """
        await self.catch_up()
        found = [name for name in tuple(self.standing.names) if await self._rewrapped(name, actor, keys)]
        return tuple(found)

    async def _rewrapped(self, name: Name, actor: str | None, keys: Keys) -> bool:
        if (placed := self.standing.names.get(name)) is None:
            return False  # it was deleted while those before it were rewrapped
        placed.check()

        async def make(stands: CredentialStored | None, newest: int) -> CredentialStored | None:
            if stands is None or all(each.key == keys.current.id for each in stands.versions):
                return None
            versions = [await rewrap(each, name=name, keys=keys) for each in stands.versions]
            return replace(stands, versions=tuple(versions))

        return await self.change(name, "rotate-key", actor, make) is not None


def unknown(name: Name, standing: Standing) -> InvalidRequest:
    """There is no such credential."""
    there = sorted({each.alias for each in standing.of(name.tenant)})
    return InvalidRequest(
        f"there is no credential '{name.alias}'{_where(name)} of tenant '{name.tenant}'; "
        + (f"there are {', '.join(there)}" if there else "set one with `noetl-stream keychain set`")
    )


def _stored(placed: Placed | None) -> CredentialStored | None:
    """What can be built upon: nothing stands in the way of setting a credential again."""
    return placed.stored if placed is not None and isinstance(placed.stored, CredentialStored) else None


def _where(name: Name) -> str:
    if name.scope == "catalog":
        return ""
    return f" of scope {name.scope}" + (f" for '{name.owner}'" if name.owner else "")


def _named(name: Name) -> dict[str, Any]:
    return {"tenant": name.tenant, "alias": name.alias, "scope": name.scope, "owner": name.owner}


def _same(one: Placed | None, other: Placed | None) -> bool:
    """Whether both are the same record, or neither is any."""
    return (one and one.offset) == (other and other.offset)
