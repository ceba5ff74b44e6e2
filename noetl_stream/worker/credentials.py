"""A task's credentials: resolved before it is rendered, at hand while it runs, and hidden in all that it reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from noetl_stream.core.credentials import Credential, Grant
from noetl_stream.core.events import CredentialUse
from noetl_stream.core.names import KEYCHAIN
from noetl_stream.core.scope import evaluate
from noetl_stream.core.values import Value
from noetl_stream.dsl.tasks import Task
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Credentials, Secret, Wanted
from noetl_stream.worker.guarding import guard
from noetl_stream.worker.sites import Desk


def refused(alias: str, why: str) -> ToolError:
    """A credential that cannot be had, as the error of the task that needs it."""
    return ToolError(f"credential '{alias}' {why}", kind="credential")


class Fields(Mapping[str, Value]):
    """One credential in a template. A field that it lacks is an error, never empty."""

    __slots__ = ("_alias", "_fields")

    def __init__(self, alias: str, fields: Mapping[str, Value]) -> None:
        self._alias, self._fields = alias, fields

    def __getitem__(self, name: str) -> Value:
        if name not in self._fields:
            known = ", ".join(sorted(map(str, self._fields)))
            raise refused(self._alias, f"has no field '{name}'; it has {known or 'none'}")
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Opened(Mapping[str, Any]):
    """`keychain` in a template: the credentials that were resolved for this task."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        self._secrets = secrets

    def __getitem__(self, alias: str) -> Any:
        if alias not in self._secrets:
            raise refused(alias, "is not one of those that this task was given; write `keychain.<name>`")
        found = self._secrets[alias].reveal()
        return Fields(alias, found) if isinstance(found, Mapping) else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)


class Keyring:
    """Opens the credentials of one block's tasks, and puts them on its desk."""

    def __init__(self, desk: Desk, credentials: Credentials) -> None:
        self._desk, self._credentials = desk, credentials
        self._lent: list[Secret] = []

    async def open(self, task: Task) -> Mapping[str, Secret]:
        """Resolve all that the task reads; returns those its tool is given, by name.

        Each try asks again, as a secret may have been renewed. Raises ToolError of kind `credential`.
        """
        self._lent.clear()
        if not (task.credentials or task.auth):
            return {}
        found: dict[str, Secret] = {}
        own = {alias for grant in task.auth for alias in grant.needs}
        for alias in sorted(task.credentials - own):
            await self._resolve(alias, found, {})
        return {grant.name: await self._granted(grant, found) for grant in task.auth}

    async def _granted(self, grant: Grant, found: dict[str, Secret]) -> Secret:
        for needed in sorted(grant.needs):
            if needed != grant.alias.text:
                await self._resolve(needed, found, {})
        scope = self._desk.scope(f"auth/{grant.name}")
        alias, settings = evaluate(grant.alias, scope), evaluate(grant.settings, scope)
        if isinstance(alias, Mapping) or any(path[0] == KEYCHAIN for path in grant.alias.reads):
            return self._covered(Secret(grant.name, _checked(grant.name, alias), provider=DOCUMENT))
        if not isinstance(alias, str) or not alias:
            raise refused(grant.name, "is named by nothing: its alias is no text; name one")
        return await self._resolve(alias, found, settings, grant.provider)

    async def _resolve(
        self, alias: str, found: dict[str, Secret], settings: Mapping[str, Any], provider: str | None = None
    ) -> Secret:
        if alias in found:
            return found[alias]
        declared = self._declared.get(alias)
        for needed in sorted(declared.needs) if declared else ():
            await self._resolve(needed, found, {})
        wanted = self._wanted(alias, declared, settings, provider)
        if declared:
            wanted = replace(wanted, given={needed: found[needed] for needed in declared.needs})
        secret = await self._credentials.resolve(wanted)
        _checked(alias, secret.reveal())
        found[alias] = self._covered(secret)
        self._desk.keychain = Opened(found)
        return secret

    def _wanted(
        self, alias: str, declared: Credential | None, settings: Mapping[str, Any], provider: str | None
    ) -> Wanted:
        asks: dict[str, Any] = {
            "alias": alias,
            "tenant": self._desk.offer.tenant,
            "execution": self._desk.offer.execution,
            "path": self._desk.plan.path,
            "hosts": self._desk.plan.policy.hosts,
        }
        if declared is None:
            return Wanted(**asks, provider=provider, settings=settings)
        scope, renew = self._desk.scope(f"keychain/{alias}"), declared.auto_renew
        return Wanted(
            **asks,
            kind=declared.kind,
            provider=declared.provider or provider,
            scope=declared.scope,
            auto_renew=renew if isinstance(renew, bool) else evaluate(renew, scope),
            settings={**settings, **evaluate(declared.settings, scope)},
        )

    def doubt(self) -> None:
        """The task's credentials were refused outside (401): what is held of them may be out of date."""
        for secret in self._lent:
            secret.doubt()

    def _covered(self, secret: Secret) -> Secret:
        """The secret, from now on hidden in all that is written down, and its use noted."""
        self._desk.mask.cover(secret)
        guard(self._desk.mask)
        known = secret.source or secret.alias
        use = CredentialUse(alias=known, provider=secret.provider or "", version=secret.version)
        self._desk.uses[use] = None
        self._lent.append(secret)
        return secret

    @property
    def _declared(self) -> Mapping[str, Credential]:
        return self._desk.plan.keychain


def _checked(alias: str, value: Any) -> str | Mapping[str, Value]:
    if not isinstance(value, str | Mapping) or not value:
        raise refused(alias, "is empty; give it a value")
    return value


class FromDocument:
    """Credentials that the document holds in full, `static` and `bearer`."""

    async def resolve(self, wanted: Wanted) -> Secret:
        settings = {key: each for key, each in wanted.settings.items() if each not in (None, "", {})}
        match wanted.kind:
            case "static" if settings:
                fields = settings.get("data", settings.get("map", settings))
                return Secret(wanted.alias, fields, provider=DOCUMENT)
            case "bearer" if token := settings.get("token"):
                return Secret(wanted.alias, {"token": token}, provider=DOCUMENT)
            case _:
                raise refused(wanted.alias, _why(wanted))


FROM_DOCUMENT: Final = FromDocument()
"""What a worker has that was given nothing else."""


def _why(wanted: Wanted) -> str:
    if wanted.kind in ("static", "bearer"):
        return f"is empty: its `{'data' if wanted.kind == 'static' else 'token'}` yields nothing; give it a value"
    return (
        "does not stand in the document, and this worker has no keychain; "
        "declare it `kind: static` or `kind: bearer`, or let a rule of the task go on without it"
    )
