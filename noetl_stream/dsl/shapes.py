"""What a node may look like, as values: a schema is a table of these, and checking it names the place of every fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from noetl_stream.dsl.expressions import as_number
from noetl_stream.dsl.report import Site, suggest
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import has_template

FLAGS = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})
"""What a boolean may be written as, in any case."""


class Shape(Protocol):
    """One way a value may look."""

    def check(self, node: Node, site: Site) -> None: ...


@dataclass(frozen=True, slots=True)
class Anything:
    """Kept as it is."""

    def check(self, node: Node, site: Site) -> None:
        return


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar that is read as text."""

    def check(self, node: Node, site: Site) -> None:
        if node.is_mapping or node.is_list:
            site.report.error(f"{site.what} is text, not {node.word}", node.place)


@dataclass(frozen=True, slots=True)
class Number:
    """A number, numeric text or a template."""

    def check(self, node: Node, site: Site) -> None:
        if as_number(node.value) is None and not has_template(node.text or ""):
            site.report.error(f"{site.what} is a number, not {node.word}", node.place)


@dataclass(frozen=True, slots=True)
class Templated:
    """One shape, or a template that is to yield it."""

    of: Shape

    def check(self, node: Node, site: Site) -> None:
        if not has_template(node.text or ""):
            self.of.check(node, site)


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean, text that says one, or a template."""

    def check(self, node: Node, site: Site) -> None:
        text = node.text or ""
        if not isinstance(node.value, bool) and text.lower() not in FLAGS and not has_template(text):
            site.report.error(f"{site.what} is true or false, not {node.word}", node.place)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def check(self, node: Node, site: Site) -> None:
        if str(node.value) not in self.words:
            hint = suggest(str(node.value), self.words)
            site.report.error(f"{site.what} is one of {', '.join(self.words)}", node.place, hint)


@dataclass(frozen=True, slots=True)
class Many:
    """A list of one shape."""

    of: Shape

    def check(self, node: Node, site: Site) -> None:
        if not node.is_list:
            site.report.error(f"{site.what} is a list, not {node.word}", node.place)
        for index, each in enumerate(node.items):
            self.of.check(each, site.item(index))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A mapping. Unknown keys are errors unless `open`; null stands for a key that is not there."""

    keys: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    open: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def check(self, node: Node, site: Site) -> None:
        if not node.is_mapping:
            site.report.error(f"{site.what} is a mapping, not {node.word}", node.place)
            return
        for name in self.required:
            if node.get(name) is None:
                site.report.error(f"{site.what} needs a key '{name}'", node.place)
        for name, each in node.mapping.items():
            self._check_key(name, each, node, site)

    def _check_key(self, name: str, each: Node, node: Node, site: Site) -> None:
        if (shape := self.keys.get(name)) is not None:
            if each.value is not None:
                shape.check(each, site.at(name))
        elif hint := self.elsewhere.get(name):
            site.report.error(f"key '{name}' does not belong to {site.what}", node.key_place(name), hint)
        elif not self.open:
            unknown_key(name, node, site, self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """Different shapes for a mapping, a list and a scalar; None where one of them is not accepted."""

    mapping: Shape | None = None
    list: Shape | None = None
    scalar: Shape | None = None

    def check(self, node: Node, site: Site) -> None:
        shape = self.mapping if node.is_mapping else self.list if node.is_list else self.scalar
        if shape is None:
            site.report.error(f"{site.what} cannot be {node.word}", node.place)
        else:
            shape.check(node, site)


def unknown_key(name: str, node: Node, site: Site, known: Iterable[str]) -> None:
    """Report a key nobody reads."""
    site.report.error(f"unknown key '{name}' in {site.what}", node.key_place(name), suggest(name, known))
