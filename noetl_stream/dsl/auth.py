"""`auth` of a task or a cursor: every way of naming credentials into one, a tuple of grants."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from noetl_stream.core.credentials import Grant
from noetl_stream.dsl.document import PROVIDERS
from noetl_stream.dsl.expressions import compile_value
from noetl_stream.dsl.keychain import aliases_in
from noetl_stream.dsl.report import Site, suggest
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import has_template

LONE: Final = "auth"
"""What a credential is called that nobody gave a name."""
_KEYCHAIN: Final = frozenset({"keychain", "credential", "credentials", "catalog"})
"""Words of `source` for the keychain itself."""
_ELSEWHERE: Final = frozenset({*PROVIDERS, "secret", "secret_manager"})
_NAMING: Final = ("alias", "credential", "key", "name", "ref")
"""Keys under which a credential is named, nearest first."""
_ABOUT: Final = frozenset({"source", "type", "tool", "provider", "scope", "service", *_NAMING})
"""Keys that say which credential is meant and what for; all others are a credential's own fields."""
_FIELDS: Final = frozenset(
    {
        "token",
        "access_token",
        "api_key",
        "password",
        "private_key",
        "client_secret",
        "secret",
        "username",
        "user",
        "value",
    }
)
"""Fields by which a credential that is written out is known from several that are named."""


def compile_auth(node: Node | None, site: Site) -> tuple[Grant, ...]:
    """Every credential that is named, in the document's order."""
    if node is None:
        return ()
    site = replace(site, secret=True)
    if node.is_list:
        return tuple(grant for each in node.items for grant in compile_auth(each, site))
    if not node.is_mapping:
        return (_by_alias(None, node, site),)
    if _is_one(node):
        return (_described(None, node, site),)
    return tuple(_entry(name, each, site.at(name)) for name, each in node.mapping.items())


def _is_one(node: Node) -> bool:
    """Whether a mapping describes one credential, or has several by name."""
    scalars = {key for key, each in node.mapping.items() if not (each.is_mapping or each.is_list)}
    return bool(scalars & (_ABOUT | _FIELDS))


def _entry(name: str, node: Node, site: Site) -> Grant:
    if node.is_mapping:
        return _described(name, node, site)
    return _by_alias(name, node if node.value is not None else Node(name, node.place), site)


def _by_alias(name: str | None, node: Node, site: Site) -> Grant:
    return _grant(name, node, Node({}, node.place), None, site)


def _grant(name: str | None, named: Node, settings: Node, provider: str | None, site: Site) -> Grant:
    alias, rest = compile_value(named, site, strict=True), compile_value(settings, site)
    literal = _literal(named)
    if provider is None:
        _check_alias(named, site)
    own = {literal} if literal is not None and provider is None else set[str]()
    return Grant(
        name=name or literal or LONE,
        alias=alias,
        settings=rest,
        provider=provider,
        needs=aliases_in(alias.reads | rest.reads, site.aliases) | own,
    )


def _described(name: str | None, node: Node, site: Site) -> Grant:
    """`{source | type, tool, provider, key, scope, …}`, with a name if it stands under one."""
    source, provider = node.get("source"), node.get("provider")
    named = next((found for key in _NAMING if (found := node.get(key))), None)
    word = source.text if source else None
    where = str(provider.value) if provider else None
    if source is not None and word not in _KEYCHAIN | _ELSEWHERE:
        named = source
    elif word in _ELSEWHERE:
        where = where or word
    named = named or _own_fields(node) or (Node(name, node.place) if name else None)
    if named is None:
        site.report.error(f"{site.what} names no credential", node.place, "write `key: <alias>`")
        named = Node(LONE, node.place)
    return _grant(name, named, node, where, site)


def _own_fields(node: Node) -> Node | None:
    """A credential that is written out where it is used, perhaps from templates."""
    own = node.without(*_ABOUT)
    return own if own.mapping else None


def _literal(node: Node) -> str | None:
    return None if node.text is None or has_template(node.text) else node.text


def _check_alias(node: Node, site: Site) -> None:
    """An alias may be one that nobody declared here; one that is nearly declared is a slip."""
    alias, declared = _literal(node), site.aliases
    hint = suggest(alias, declared) if alias is not None and alias not in declared else None
    if hint:
        site.report.warn(f"{site.what}: the document's `keychain` has no '{alias}'", node.place, hint)
