"""Where things stand in a document's text: composed YAML, whose nodes know their first and last character."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from noetl_stream.dsl.source import MAX_NODES
from noetl_stream.errors import Problem

_MOST = 2 * MAX_NODES
"""Keys and values of a document: the compiler counts values."""
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of text, as indexes of characters; `end` is behind the last one."""

    start: int
    end: int

    def of(self, text: str) -> str:
        return text[self.start : self.end]


def composed(text: str) -> YamlNode | None:
    """The document's root; None where the text is no YAML, more than one document, or more than the compiler reads."""
    try:
        found: YamlNode | None = YAML(typ="safe", pure=True).compose(text)
        return found if found is not None and _size(found, {}) <= _MOST else None
    except (YAMLError, RecursionError):
        return None


def _size(node: YamlNode, known: dict[int, int]) -> int:
    """How many keys and values a walk meets, an anchor's once for each alias; more than may be if one holds itself."""
    if id(node) not in known:
        known[id(node)] = _MOST + 1
        known[id(node)] = 1 + sum(_size(each, known) for each in _inside(node))
    return known[id(node)]


def _inside(node: YamlNode) -> Iterator[YamlNode]:
    match node:
        case MappingNode():
            for pair in node.value:
                yield from pair
        case SequenceNode():
            yield from node.value


def below(node: YamlNode) -> Iterator[YamlNode]:
    """The node, and all keys and values below it, in document order. An anchor's node comes once for each alias."""
    yield node
    for each in _inside(node):
        yield from below(each)


@lru_cache(maxsize=8)
def scalars(text: str) -> Mapping[int, ScalarNode]:
    """Every scalar by its first character, an anchored one once. Kept, as all problems of a text ask for it."""
    root = composed(text)
    found = below(root) if root is not None else ()
    return {each.start_mark.index: each for each in found if isinstance(each, ScalarNode)}


def templates(node: ScalarNode, text: str) -> Iterator[tuple[int, str]]:
    """The templates that stand in a scalar, each with the index of its first character."""
    start = node.start_mark.index
    for found in _TEMPLATE.finditer(text[start : node.end_mark.index]):
        yield start + found.start(), found[0]


def index_of(text: str, line: int, column: int) -> int:
    """The index of a place, whose line and column count from 1."""
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
        if start == 0:
            return len(text)
    return min(start + column - 1, len(text))


def span_of(problem: Problem, text: str) -> Span:
    """What a problem is about: the word its sentence quotes, where it stands there; else the value, or its first line."""
    start = index_of(text, problem.line, problem.column)
    whole = _span_at(start, text)
    for word in reversed(re.findall(r"'([^']+)'", problem.message)):
        found = re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", whole.of(text))
        if found:
            return Span(whole.start + found.start(), whole.start + found.end())
    line_end = text.find("\n", start)
    return Span(start, min(whole.end, line_end if line_end > start else len(text)))


def _span_at(start: int, text: str) -> Span:
    """The scalar that begins there, else the rest of the line."""
    found = scalars(text).get(start)
    if found is not None:
        return Span(start, max(found.end_mark.index, start + 1))
    end = text.find("\n", start)
    return Span(start, len(text) if end < 0 else max(end, start))
