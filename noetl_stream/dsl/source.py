"""YAML text into a tree in which every key and value knows its line and column.

Composed, never constructed: no tag can build an object. Size, depth, aliases and duplicate keys are bounded here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from noetl_stream.dsl.syntax import hint_of, reason_of, spot_of
from noetl_stream.errors import InvalidPlaybook, Problem

MAX_BYTES = 16 * 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 100

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a document; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands. `keys` tells where a mapping's keys stand, `block` that its lines are those below its place."""

    value: Scalar | dict[str, Node] | list[Node]
    place: Place
    keys: Mapping[str, Place] = field(default_factory=dict)
    block: bool = False

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    @property
    def mapping(self) -> dict[str, Node]:
        """The entries of a mapping; none for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The elements of a list; none for anything else."""
        return self.value if isinstance(self.value, list) else []

    @property
    def listed(self) -> list[Node]:
        """The elements of a list, of an empty one none; anything else alone, as one is written without brackets."""
        return self.value if isinstance(self.value, list) else [self]

    @property
    def text(self) -> str | None:
        """The text of a text; None for anything else."""
        return self.value if isinstance(self.value, str) else None

    @property
    def word(self) -> str:
        """What an author would call it: 'a mapping', 'a list', 'text', 'a number'."""
        match self.value:
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case str():
                return "text"
            case bool():
                return "a boolean"
            case None:
                return "null"
            case _:
                return "a number"

    def get(self, *path: str) -> Node | None:
        """What stands under a path of keys, or None. A null counts as absent."""
        node: Node | None = self
        for key in path:
            node = node.mapping.get(key) if node else None
        return None if node is None or node.value is None else node

    def written(self, *path: str) -> str | None:
        """What stands under a path of keys, as text; None where nothing does."""
        found = self.get(*path)
        return None if found is None else str(found.value)

    def key_place(self, key: str) -> Place:
        return self.keys.get(key, self.place)

    def plain(self) -> Any:
        """The value without places."""
        match self.value:
            case dict():
                return {key: node.plain() for key, node in self.value.items()}
            case list():
                return [node.plain() for node in self.value]
            case _:
                return self.value

    def with_entries(self, entries: Mapping[str, Node], keys: Mapping[str, Place] | None = None) -> Node:
        return Node(dict(entries), self.place, {**self.keys, **(keys or {})})

    def without(self, *names: str) -> Node:
        return self.with_entries({k: v for k, v in self.mapping.items() if k not in names})


def load(text: str, file: str) -> Node:
    """Parse a document of one mapping. Raises InvalidPlaybook naming the place of what cannot be read."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise _invalid(f"the document has {size} bytes; at most {MAX_BYTES} are read", Place(file, 1, 1))
    root = _composed(text, file)
    if not isinstance(root, MappingNode):
        raise _invalid("a document is a mapping with `apiVersion`, `kind`, …", Place(file, 1, 1))
    reader = _Reader(file)
    node = reader.read(root, 0)
    if reader.problems:
        raise InvalidPlaybook(tuple(reader.problems))
    return node


def _composed(text: str, file: str) -> YamlNode | None:
    """The one document of a file; an empty one before or after it does not count."""
    try:
        found = [
            node for node in YAML(typ="safe", pure=True).compose_all(text) if node.value or node.tag != _NULL
        ]
    except RecursionError:
        raise _invalid("the document nests too deeply", Place(file, 1, 1)) from None
    except YAMLError as error:
        raise _syntax(error, text, file) from None
    if len(found) > 1:
        mark = found[1].start_mark
        raise InvalidPlaybook(
            (
                _problem(
                    "a file holds one document, and here begins a second",
                    Place(file, mark.line + 1, mark.column + 1),
                    "put it into a file of its own",
                ),
            )
        )
    return found[0] if found else None


_NULL = "tag:yaml.org,2002:null"


class _Reader:
    """Turns composed YAML into nodes, collecting problems. Aliases are expanded, and counted."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._count = 0

    def read(self, node: YamlNode, depth: int) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise _invalid(f"the document expands to more than {MAX_NODES} values", self._place(node))
        if depth > MAX_DEPTH:
            raise _invalid(
                f"values nest more than {MAX_DEPTH} deep (an alias inside itself?)", self._place(node)
            )
        if isinstance(node, MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, SequenceNode):
            return Node([self.read(n, depth + 1) for n in node.value], self._place(node))
        assert isinstance(node, ScalarNode)
        return Node(self._scalar(node), self._place(node), block=node.style == "|")

    def _mapping(self, node: MappingNode, depth: int) -> Node:
        entries: dict[str, Node] = {}
        places: dict[str, Place] = {}
        merged: dict[str, tuple[Node, Place]] = {}
        for key, value in node.value:
            if key.tag.endswith(":merge"):
                merged |= self._merge(self.read(value, depth + 1))
                continue
            name, place = self._key(key), self._place(key)
            if name in entries:
                self._add(
                    f"duplicate key '{name}', first at line {places[name].line}", place, "keep one of them"
                )
            entries[name], places[name] = self.read(value, depth + 1), place
        for name, (value, place) in merged.items():
            entries.setdefault(name, value)
            places.setdefault(name, place)
        return Node(entries, self._place(node), places)

    def _merge(self, source: Node) -> dict[str, tuple[Node, Place]]:
        found: dict[str, tuple[Node, Place]] = {}
        for each in source.items or [source]:
            if not each.is_mapping:
                self._add("'<<' merges mappings only", each.place)
            for name, value in each.mapping.items():
                found.setdefault(name, (value, each.key_place(name)))
        return found

    def _key(self, key: YamlNode) -> str:
        if isinstance(key, ScalarNode):
            return self._text(str(key.value), key)
        self._add("a key is text, not a collection", self._place(key), 'quote a template, as in "{{ … }}"')
        return ""

    def _scalar(self, node: ScalarNode) -> Scalar:
        text, tag = str(node.value), str(node.tag).rpartition(":")[2]
        match tag:
            case "null":
                return None
            case "bool":
                return text.lower() in _TRUE
            case "int" | "float":
                return self._number(text, tag, node)
            case "str" | "timestamp":
                return self._text(text, node)
            case _:
                self._add(f"the tag '{node.tag}' is not accepted", self._place(node), "remove it")
                return text

    def _number(self, text: str, tag: str, node: ScalarNode) -> int | float:
        try:
            number = _integer(text) if tag == "int" else _real(text)
        except ValueError:
            self._add(f"'{text}' is no number", self._place(node), "quote it if text is meant")
            return 0
        if not math.isfinite(number) or (isinstance(number, int) and not _LEAST <= number <= _MOST):
            self._add(f"'{text}' is no JSON number", self._place(node), "quote it if text is meant")
        return number

    def _text(self, text: str, node: ScalarNode) -> str:
        if _HALF.search(text):
            self._add("text holds half a character (a lone surrogate)", self._place(node), "write it whole")
        return text

    def _place(self, node: YamlNode) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _add(self, message: str, place: Place, suggestion: str | None = None) -> None:
        self.problems.append(_problem(message, place, suggestion))


_BASES = {"0x", "0o", "0b"}
_TRUE = {"true", "yes", "on", "y"}
"""The last three only where a file says `%YAML 1.1`."""
_HALF = re.compile("[\ud800-\udfff]")
_LEAST, _MOST = -(2**63), 2**64 - 1
"""What the log's JSON can hold."""


def _integer(text: str) -> int:
    return int(text.replace("_", ""), 0 if text.lstrip("+-")[:2].lower() in _BASES else 10)


def _real(text: str) -> float:
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in document order."""
    yield node
    for child in (*node.mapping.values(), *node.items):
        yield from walk(child)


def _problem(message: str, place: Place, suggestion: str | None = None) -> Problem:
    return Problem(
        message=message, file=place.file, line=place.line, column=place.column, suggestion=suggestion
    )


def _invalid(message: str, place: Place) -> InvalidPlaybook:
    return InvalidPlaybook((_problem(message, place),))


def _syntax(error: YAMLError, text: str, file: str) -> InvalidPlaybook:
    reason = reason_of(error)
    return InvalidPlaybook(
        (_problem(f"YAML: {reason}", Place(file, *spot_of(error, text)), hint_of(reason)),)
    )
