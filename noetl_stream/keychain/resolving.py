"""Who gives a credential: the document, the keychain's topic, an outside provider, or whoever makes tokens of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from noetl_stream.keychain.stored import refused, stored_alias
from noetl_stream.ports.credentials import Credentials, Secret, Wanted

KEYCHAIN: Final = frozenset(
    {"keychain", "catalog", "credential", "credentials", "secret", "secrets", "secret_manager"}
)
"""Words for the keychain itself, as kind or as provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """A `ports.credentials.Credentials` over all there are. `kinds` and `providers` are by the words of the language."""

    document: Credentials
    stored: Credentials
    kinds: Mapping[str, Credentials] = field(default_factory=dict)
    providers: Mapping[str, Credentials] = field(default_factory=dict)

    async def resolve(self, wanted: Wanted) -> Secret:
        return await self._source(wanted).resolve(wanted)

    def _source(self, wanted: Wanted) -> Credentials:
        if wanted.kind is not None and wanted.kind in self.kinds:
            return self.kinds[wanted.kind]
        if wanted.provider is not None and wanted.provider not in KEYCHAIN:
            return _one(self.providers, wanted, "provider", wanted.provider)
        match wanted.kind:
            case "static":
                return self.document
            case "bearer":
                return self.document if wanted.settings.get("token") else _Bearer(self.stored)
            case None:
                return self.stored
            case kind if kind in KEYCHAIN:
                return self.stored
            case kind:
                return _one(self.kinds, wanted, "kind", kind)


@dataclass(frozen=True, slots=True)
class _Bearer:
    """A token that is kept as one text, by the field that the language has for it."""

    stored: Credentials

    async def resolve(self, wanted: Wanted) -> Secret:
        found = await self.stored.resolve(wanted)
        value = found.reveal()
        fields = {"token": value} if isinstance(value, str) else value
        return Secret(
            found.alias, fields, provider=found.provider, version=found.version, source=found.source
        )


def _one(there: Mapping[str, Credentials], wanted: Wanted, what: str, word: str) -> Credentials:
    if word in there:
        return there[word]
    known = ", ".join(sorted(there)) or "none"
    raise refused(
        wanted,
        f"cannot be resolved: this worker knows no {what} '{word}' (it knows {known}); "
        f"name another, or keep it with `noetl-stream keychain set {stored_alias(wanted)}`",
    )


def under(wanted: Wanted, alias: str) -> Wanted:
    """Another credential that this one needs, asked for by the same execution. Of what this one says, `scope` too is its own."""
    return replace(wanted, alias=alias, kind=None, provider=None, scope=None, settings={}, auto_renew=False)
