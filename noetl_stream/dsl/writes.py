"""`set` blocks: all values rendered against the state before, then written together under their scoped names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from noetl_stream.core.names import KEYCHAIN, VARIABLES
from noetl_stream.core.plan import Expression
from noetl_stream.dsl.expressions import compile_value
from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node, walk

RECORDED: Final[Mapping[str, tuple[str, str]]] = {
    KEYCHAIN: ("may not be read here, as this is written to the event log", "read it where it is used")
}
"""Names that a worker knows, where what it evaluates is recorded."""
_NAME = re.compile(rf"(?:(?:{'|'.join(VARIABLES)})\.)?[A-Za-z_][A-Za-z0-9_]*")


def compile_writes(node: Node, site: Site, *, local: bool = True) -> Expression:
    """`{"ctx.x": …}` as an expression for that mapping. `local` tells whether unscoped names mean anything here."""
    for name in node.mapping:
        if not _NAME.fullmatch(name):
            site.report.error(
                f"{site.subject}: `set` cannot write '{name}'",
                node.key_place(name),
                "write 'ctx.name', 'iter.name', 'step.name' or a plain name",
            )
        elif "." not in name and not local:
            site.report.warn(
                f"{site.subject}: '{name}' names no scope, so only the arcs of this step can read it",
                node.key_place(name),
                f"write 'ctx.{name}'",
            )
    return compile_value(node, replace(site, hidden={**RECORDED, **site.hidden}), strict=True)


def written_names(node: Node, scope: str | None) -> Iterator[str]:
    """The names that `set` blocks anywhere below write into a scope; None for names local to a pipeline."""
    for each in walk(node):
        block = each.mapping.get("set")
        for name in block.mapping if block else ():
            prefix, dot, rest = name.partition(".")
            if scope is None and not dot:
                yield name
            elif dot and prefix == scope:
                yield rest
