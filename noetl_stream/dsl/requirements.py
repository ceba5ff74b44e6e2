"""What a document says that it needs: tools must be known, features should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from noetl_stream.dsl.kinds import ALIASES, EXTRAS, missing_reason
from noetl_stream.dsl.report import Report, suggest
from noetl_stream.dsl.source import Node
from noetl_stream.ports.tools import Kind

FEATURES: Final = frozenset(
    {
        "admission", "contracts", "cursor", "error_arcs", "frames", "iterator", "jinja2", "joins", "keychain", "loop",
        "parallel", "pipeline", "policy", "retry", "routing", "sub_playbooks", "templates", "while", "workbook",
    }
)  # fmt: skip
"""Constructs of the language that a document may ask for by name; hyphens, capitals and a plural do not matter."""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").removesuffix("s")


_FEATURES: Final = frozenset(map(_plain, FEATURES))


def check_required(document: Node, kinds: Mapping[str, Kind], report: Report) -> None:
    """Check `executor.requires`: an unknown tool is an error, a missing one or an unknown feature a warning."""
    requires = document.get("executor", "requires")
    for each in _listed(requires, "tools"):
        _check_tool(each, kinds, report)
    for each in _listed(requires, "features"):
        if _plain(str(each.value)) not in _FEATURES:
            hint = suggest(str(each.value), FEATURES)
            report.warn(f"the required feature '{each.value}' is not known here", each.place, hint)


def _check_tool(node: Node, kinds: Mapping[str, Kind], report: Report) -> None:
    written = str(node.value)
    name = ALIASES.get(written, written)
    if name not in EXTRAS and name not in kinds:
        hint = suggest(written, {*EXTRAS, *ALIASES, *kinds})
        report.error(f"the required tool '{written}' is unknown", node.place, hint)
    elif name != "workbook" and (reason := missing_reason(name, kinds)):
        report.warn(f"a required {reason}", node.place)


def _listed(requires: Node | None, key: str) -> list[Node]:
    """Names as a list, as one text, or as the keys of a mapping."""
    found = requires.get(key) if requires else None
    if found is None:
        return []
    if found.is_mapping:
        return [Node(name, found.key_place(name)) for name in found.mapping]
    return found.listed
