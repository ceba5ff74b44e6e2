"""A credential from an outside keeper, as a playbook asks for it: which secret, which of its fields, under which login."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import escape
from typing import Any, Final

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.keychain.asking import failed
from noetl_stream.keychain.held import Fetched, Held, Kept, key_of
from noetl_stream.keychain.naming import named, trusted
from noetl_stream.keychain.providers.service import Found, Login, Own, Service, known
from noetl_stream.keychain.stored import HELD, stored_alias
from noetl_stream.ports.credentials import Credentials, Secret, Wanted

TENANT: Final = "{tenant}"
ALL: Final = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provided:
    """A `ports.credentials.Credentials` over one service.

    `own` reads the platform's login, None if it has none. With that login, a playbook reads those secrets alone whose
    names match `allow`, where `{tenant}` stands for the tenant of its execution.
    """

    name: str
    service: Service
    own: Own
    others: Credentials
    allow: tuple[str, ...] = ALL
    _held: Held[Found] = field(default_factory=Held)

    async def resolve(self, wanted: Wanted) -> Secret:
        try:
            return await self._resolve(wanted)
        except ToolError as error:
            raise ToolError(
                f"credential '{wanted.alias}' cannot be had from {self.name}: {error.message}",
                kind="credential",
                retryable=error.retryable,
            ) from None

    async def _resolve(self, wanted: Wanted) -> Secret:
        login, ref, mapped = await self._login(wanted), _ref(wanted), wanted.settings.get("map")
        version = wanted.settings.get("version")
        asked = None if version in (None, "", "latest") else _version(str(version))

        async def read(one: str) -> Kept[Found]:
            self._check(one, wanted, login)
            return await self._held.get(*self._fetch(one, asked, login))

        if isinstance(mapped, Mapping) and mapped and ref is None:
            kept = await asyncio.gather(*(read(_secret(str(each))) for each in mapped.values()))
            pairs = zip(mapped.items(), kept, strict=True)
            value: Any = {name: _field(one.value.value, str(each)) for (name, each), one in pairs}
        else:
            ref = ref or stored_alias(wanted)
            kept = [await read(ref)]
            value = _picked(kept[0].value.value, wanted, mapped)
        _check_filled(value, wanted)
        return self._secret(wanted, value, ref, kept, login, asked)

    async def _login(self, wanted: Wanted) -> Login:
        auth = wanted.settings.get("auth")
        if auth:
            fields = _mapping(await named(wanted, auth, self.others))
            return Login(fields=fields, given=True, hosts=None if trusted(wanted, auth) else wanted.hosts)
        return await asyncio.to_thread(known, self.own)

    def _check(self, ref: str, wanted: Wanted, login: Login) -> None:
        """Raises ToolError for a name that says more than one, or is another tenant's."""
        parts = ref.removeprefix("/").split("/")
        if not ref.isprintable() or any(part in ("", ".", "..") for part in parts):
            raise failed(f"'{ref}' is no name of a secret; write it without empty parts and dots")
        patterns = [each.replace(TENANT, escape(wanted.tenant)) for each in self.allow]
        if not login.given and not any(fnmatchcase(ref, each) for each in patterns):
            raise failed(
                f"'{ref}' is none of those that tenant '{wanted.tenant}' may read; "
                f"name another, or let whoever runs the platform add it to `{self.name}.allow`"
            )

    def _fetch(
        self, ref: str, version: str | None, login: Login
    ) -> tuple[bytes, Callable[[], Awaitable[Fetched[Found]]]]:
        async def fetch() -> Fetched[Found]:
            return Fetched(value=await self.service.read(ref, version, login), lasts=HELD)

        return key_of(ref, version, login.fields, login.given, login.hosts), fetch

    def _secret(
        self,
        wanted: Wanted,
        value: str | Mapping[str, Value],
        ref: str | None,
        kept: list[Kept[Found]],
        login: Login,
        version: str | None,
    ) -> Secret:
        def doubt() -> None:
            for one, each in zip(refs, kept, strict=True):
                self._held.doubt(self._fetch(one, version, login)[0], each)

        refs = [ref] if ref else [_secret(str(each)) for each in wanted.settings["map"].values()]
        fields = {"token": value} if wanted.kind == "bearer" and isinstance(value, str) else value
        known = kept[0].value.version if len(kept) == 1 else None
        source = ", ".join(refs)
        return Secret(
            wanted.alias,
            fields,
            provider=self.name,
            version=known,
            source=source,
            authors=login.given,
            on_doubt=doubt,
        )


def _ref(wanted: Wanted) -> str | None:
    """Which secret; None if the document says it nowhere, or by alias alone."""
    found = next((each for key in ("ref", "credential") if (each := wanted.settings.get(key))), None)
    return None if found is None else str(found)


def _version(told: str) -> str:
    """Raises ToolError for one that, as a part of an address, would lead past the name before it."""
    if "/" in told or told in (".", "..") or not told.isprintable():
        raise failed(f"'{told}' is no version; write its number or its name")
    return told


def _picked(value: str | Mapping[str, Value], wanted: Wanted, mapped: Any) -> Any:
    """Of one secret: the fields that `map` names, the one that `key` names beside `ref`, or the whole."""
    if isinstance(mapped, Mapping) and mapped:
        return {name: _at(value, str(path)) for name, path in mapped.items()}
    key = wanted.settings.get("key")
    return _at(value, str(key)) if key and _ref(wanted) is not None else value


def _secret(path: str) -> str:
    return path.partition("#")[0]


def _field(value: str | Mapping[str, Value], path: str) -> Any:
    """What `SECRET#FIELD` means of that secret, or the whole."""
    return _at(value, path.partition("#")[2]) if "#" in path else value


def _at(value: Any, path: str) -> Any:
    """A field by its name, or by names with dots between."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for name in path.split("."):
        if not isinstance(value, Mapping):
            raise failed(f"the secret is no mapping, and has no '{path}'; write it in JSON")
        if name not in value:
            raise failed(
                f"the secret has no '{path}'; it has {', '.join(sorted(map(str, value))) or 'no field'}"
            )
        value = value[name]
    return value


def _mapping(value: str | Mapping[str, Value]) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {"token": value}


def _check_filled(value: Any, wanted: Wanted) -> None:
    if value in (None, "", {}):
        raise failed("the secret is empty there; give it a value")
    if not isinstance(value, str | Mapping):
        raise failed("what `key` names is neither text nor a mapping; name another field")
    empty = [name for name, each in value.items() if each in (None, "")] if isinstance(value, Mapping) else []
    if empty and wanted.settings.get("map"):
        raise failed(f"its field {', '.join(empty)} is empty there; give it a value")
