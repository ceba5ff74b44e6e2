"""The document's `keychain`: its declarations compiled, and who reads which of them. Nothing is resolved here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from noetl_stream.core.credentials import Credential
from noetl_stream.core.names import KEYCHAIN
from noetl_stream.core.plan import Path
from noetl_stream.dsl.document import CREDENTIAL
from noetl_stream.dsl.expressions import compile_flag, compile_value
from noetl_stream.dsl.report import Report, Site, suggest
from noetl_stream.dsl.source import Node, walk
from noetl_stream.dsl.world import World

KINDS: Final = ("secret_manager", "oauth2", "credential", "bearer", "static", "google_id_token")
"""What the language names; a keychain may bring more."""
_WORDS: Final = frozenset({"name", "kind", "desc", "description", "provider", "scope", "auto_renew"})
_POINTING: Final = ("auth", "credential", "ref")
"""Keys that may name another credential."""
_SURE: Final = 0.85
_WORD: Final = re.compile(r"[\w-]+")


def compile_keychain(world: World) -> Mapping[str, Credential]:
    """Every declaration by its alias; problems go to the report."""
    nodes = _named(world.document, world.report)
    site = Site(report=world.report, subject="", known=world.names, aliases=frozenset(nodes), secret=True)
    declared = {alias: _declared(alias, node, site) for alias, node in nodes.items()}
    _check_circles(declared, nodes, world.report)
    return declared


def _named(document: Node, report: Report) -> dict[str, Node]:
    found: dict[str, Node] = {}
    keychain = document.get(KEYCHAIN)
    for node in keychain.items if keychain else ():
        name = node.get("name")
        if name is None or name.is_mapping or name.is_list:
            continue
        if str(name.value) in found:
            report.error(f"there are two credentials named '{name.value}'", name.place, "rename one of them")
        found.setdefault(str(name.value), node)
    return found


def _declared(alias: str, node: Node, site: Site) -> Credential:
    site = replace(site, subject=f"credential '{alias}'")
    _check_words(node, site)
    settings = compile_value(node.without(*_WORDS), site)
    pointed = {str(found.value) for key in _POINTING if (found := node.get(key)) and found.text}
    renew = compile_flag(node.get("auto_renew"), site.at("auto_renew"), default=False)
    reads = settings.reads | (frozenset() if isinstance(renew, bool) else renew.reads)
    return Credential(
        alias=alias,
        kind=node.written("kind") or "",
        place=f"{site.subject} ({node.place})",
        provider=node.written("provider"),
        scope=node.written("scope"),
        auto_renew=renew,
        settings=settings,
        needs=aliases_in(reads, site.aliases) | (site.aliases & pointed) - {alias},
    )


def _check_words(node: Node, site: Site) -> None:
    kind = node.get("kind")
    if kind is not None and str(kind.value) not in KINDS:
        hint = suggest(str(kind.value), KINDS)
        site.report.warn(f"{site.subject}: the kind '{kind.value}' is not known here", kind.place, hint)
    known = CREDENTIAL.keys
    for key in node.mapping:
        close = get_close_matches(key, known, n=1, cutoff=_SURE) if key not in known else []
        if close:
            hint = f"did you mean '{close[0]}'?"
            site.report.warn(
                f"{site.subject}: the key '{key}' is handed to its provider as it is",
                node.key_place(key),
                hint,
            )


def _check_circles(declared: Mapping[str, Credential], nodes: Mapping[str, Node], report: Report) -> None:
    told: set[str] = set()
    for alias in declared:
        way = _circle(alias, declared)
        if way and not told & set(way):
            told |= set(way)
            report.error(
                f"credential '{alias}' needs itself ({' → '.join(way)})",
                nodes[alias].place,
                "break the circle",
            )


def _circle(start: str, declared: Mapping[str, Credential]) -> tuple[str, ...]:
    """A way from a credential back to itself; empty if there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = set[str]()
    while ways:
        way = ways.pop()
        for needed in sorted(declared[way[-1]].needs & declared.keys()):
            if needed == start:
                return (*way, needed)
            if needed not in seen:
                seen.add(needed)
                ways.append((*way, needed))
    return ()


def aliases_in(reads: Iterable[Path], declared: Iterable[str]) -> frozenset[str]:
    """The credentials that templates name; all declared ones where the name is computed."""
    paths = [path for path in reads if path[0] == KEYCHAIN]
    named = {path[1] for path in paths if path[1:]}
    return frozenset(named.union(declared)) if (KEYCHAIN,) in paths else frozenset(named)


def with_needed(aliases: Iterable[str], declared: Mapping[str, Credential]) -> frozenset[str]:
    """The credentials, and those that they need themselves."""
    found, ahead = set[str](), list(aliases)
    while ahead:
        alias = ahead.pop()
        if alias not in found:
            found.add(alias)
            ahead += declared[alias].needs if alias in declared else ()
    return frozenset(found)


def warn_unused(document: Node, report: Report) -> None:
    """Credentials whose names stand nowhere else in the document."""
    keychain = document.get(KEYCHAIN)
    declared = keychain.items if keychain else []
    told = Counter(word for each in (document.without(KEYCHAIN), *declared) for word in _words_in(each))
    for each in declared:
        name = each.get("name")
        if name is not None and any(told[word] < 2 for word in _WORD.findall(str(name.value))):
            report.warn(f"credential '{name.value}' is never used", name.place, "remove it")


def _words_in(part: Node) -> set[str]:
    """Every word of its texts and keys."""
    texts = (text for node in walk(part) for text in (node.text or "", *node.mapping))
    return {word for text in texts for word in _WORD.findall(text)}
