"""`${NAME}` in a document: replaced by the allow-listed environment, `${NAME:-default}` by its default without it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from noetl_stream.dsl.report import Report, suggest
from noetl_stream.dsl.source import Node

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_UNKNOWN = "{{ env }}"
"""Stands for a value that will be known on activation: any shape accepts a template."""


@dataclass(slots=True)
class Variables:
    """Replaces what is known. `missing` gathers the others, each a warning until activation."""

    environment: Mapping[str, str]
    report: Report
    missing: set[str] = field(default_factory=set)

    def replaced(self, node: Node) -> Node:
        """The node with every text filled in; a missing variable stays as it is written."""
        return self._walked(node, None)

    def shaped(self, node: Node) -> Node:
        """The same for checking shapes: a text that is a missing variable and nothing else may become anything."""
        return self._walked(node, _UNKNOWN)

    def _walked(self, node: Node, unknown: str | None) -> Node:
        match node.value:
            case dict() as entries:
                return node.with_entries({key: self._walked(each, unknown) for key, each in entries.items()})
            case list() as items:
                return Node([self._walked(each, unknown) for each in items], node.place)
            case str() as text if "${" in text:
                return Node(self._filled(text, node, unknown), node.place)
            case _:
                return node

    def _filled(self, text: str, node: Node, unknown: str | None) -> str:
        def fill(found: re.Match[str]) -> str:
            value: str | None = self.environment.get(found["name"], found["default"])
            if value is not None:
                return value
            self._miss(found["name"], node)
            return unknown if unknown and found[0] == text.strip() else found[0]

        return _VARIABLE.sub(fill, text)

    def _miss(self, name: str, node: Node) -> None:
        self.missing.add(name)
        hint = suggest(name, self.environment) or f"set it, and list {name} in the setting `environment`"
        self.report.warn(
            f"the variable '{name}' is not one that the deployment shows, so this cannot be activated yet",
            node.place,
            hint,
        )
