"""For whom a credential is: where one is looked for on behalf of a playbook, nearest first. Never at another tenant's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias, get_args

from noetl_stream.errors import InvalidRequest
from noetl_stream.keychain.sealing import Name
from noetl_stream.ports.credentials import Wanted

Scope: TypeAlias = Literal["local", "shared", "catalog", "global"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""Nearest first. `local`: one playbook's; `shared`: those of one folder of the catalog, and of the folders in it;
`catalog`: every playbook but the platform's own; `global`: those as well."""
OWNED: Final = ("local", "shared")
"""Scopes that need an owner: a path of the catalog."""
SYSTEM: Final = "system/"
"""Where the platform's own playbooks stand."""


def places(wanted: Wanted, alias: str) -> Iterator[Name]:
    """Where to look. One that says its scope is looked for there alone."""
    said = wanted.scope or wanted.settings.get("scope")
    for scope in SCOPES:
        if said in (None, "", scope):
            for owner in _owners(scope, wanted.path):
                yield Name(tenant=wanted.tenant, alias=alias, scope=scope, owner=owner)


def _owners(scope: Scope, path: str) -> Iterator[str]:
    match scope:
        case "local":
            yield path
        case "shared":
            folder = path
            while folder := folder.rpartition("/")[0]:
                yield folder
        case "catalog":
            if not path.startswith(SYSTEM):
                yield ""
        case "global":
            yield ""


def name_for(tenant: str, alias: str, scope: str, owner: str | None) -> Name:
    """A name as the command line asks for it. Raises InvalidRequest for one that nobody would find."""
    if not alias or not alias.isprintable():
        raise InvalidRequest("a credential's alias has at least one character, all printable; choose another")
    if scope not in SCOPES:
        raise InvalidRequest(f"there is no scope '{scope}'; use {', '.join(SCOPES)}")
    owner = (owner or "").strip("/")
    if (scope in OWNED) != bool(owner):
        needs = (
            "belongs to a path of the catalog; say which with --path" if scope in OWNED else "has no --path"
        )
        raise InvalidRequest(f"a credential of scope {scope} {needs}")
    return Name(tenant=tenant, alias=alias, scope=scope, owner=owner)
