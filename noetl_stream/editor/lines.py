"""A document as lines that move together: the entries of a block, each with the comments above it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from noetl_stream.editor.marks import below

_LEAD = re.compile(r" *(?:- +)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a block mapping or one item of a block list.

    `key` is what it begins with; its lines are `first` up to `end`, `top` with the comments and blank lines above it.
    `column` is where it begins: the key, or the dash.
    """

    key: YamlNode
    value: YamlNode
    top: int
    first: int
    end: int
    column: int

    @property
    def has_block(self) -> bool:
        """Whether its value is a block that is written here, and not elsewhere under an anchor."""
        return is_block(self.value) and self.holds_value

    @property
    def holds_value(self) -> bool:
        """Whether its value is written here."""
        return bool(self.first <= self.value.start_mark.line < self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A document's lines, and which of them continue a text: theirs is every space."""

    lines: list[str]
    kept: frozenset[int]

    def is_space(self, number: int, column: int) -> bool:
        """A blank line, or a comment that stands no deeper."""
        line = self.lines[number]
        text = line.lstrip(" ")
        if number in self.kept:
            return False
        return not text.strip() or (text.startswith("#") and len(line) - len(text) <= column)


def page_of(text: str, root: YamlNode) -> Page:
    """The page that a composed text fills."""
    lines = text.split("\n")
    return Page(lines=lines, kept=frozenset(inside_scalars(root, lines)))


def end_of(root: YamlNode, page: Page) -> int:
    """The line behind the document's content: that of a mark that ends it, or behind the last."""
    for number in range(root.start_mark.line + 1, len(page.lines)):
        if number not in page.kept and page.lines[number][:3] in ("...", "---"):
            return number
    return len(page.lines)


def is_block(node: YamlNode) -> bool:
    """Whether it is written over lines, rather than in brackets."""
    return isinstance(node, MappingNode | SequenceNode) and not node.flow_style and bool(node.value)


def begin_of(node: YamlNode) -> int:
    """The line of a block's first entry; an anchor or a tag may stand above it."""
    first = node.value[0][0] if isinstance(node, MappingNode) else node.value[0]
    return int(first.start_mark.line)


def column_of(node: YamlNode, page: Page) -> int:
    """The column at which a block's entries begin."""
    if isinstance(node, MappingNode):
        return int(node.value[0][0].start_mark.column)
    mark = node.start_mark
    if page.lines[mark.line][mark.column : mark.column + 1] == "-":
        return int(mark.column)
    below = (line for line in page.lines[mark.line + 1 :] if line.lstrip(" ").startswith("-"))
    return next((len(line) - len(line.lstrip(" ")) for line in below), int(mark.column))


def entries(node: YamlNode, page: Page, end: int) -> list[Entry]:
    """The parts of a block whose last line stands before `end`; none if it is written in an unusual way."""
    lines = page.lines
    pairs = list(node.value) if isinstance(node, MappingNode) else [(each, each) for each in node.value or ()]
    column = column_of(node, page)
    firsts = [_first(key, column, lines, dash=isinstance(node, SequenceNode)) for key, _ in pairs]
    if any(first is None for first in firsts) or firsts != sorted(set(firsts), key=lambda f: f or 0):
        return []
    starts = [first for first in firsts if first is not None]
    tops = [starts[0], *(_top(first, column, page) for first in starts[1:])]
    ends = [*tops[1:], _tail(end, column, starts[-1], page)]
    return [
        Entry(key=key, value=value, top=top, first=first, end=last, column=column)
        for (key, value), top, first, last in zip(pairs, tops, starts, ends, strict=True)
    ]


def _first(key: YamlNode, column: int, lines: list[str], *, dash: bool) -> int | None:
    """The line an entry begins on; None where something else than dashes stands before it."""
    mark = key.start_mark
    line = mark.line
    if dash:
        # The dash may stand on a line of its own above the item.
        while line >= 0 and not (lines[line][column : column + 1] == "-" and _opens(lines[line], column)):
            line -= 1
        return line if line >= 0 else None
    return line if mark.column == column and _opens(lines[line], column) else None


def _opens(line: str, column: int) -> bool:
    return _LEAD.fullmatch(line[:column]) is not None


def _top(first: int, column: int, page: Page) -> int:
    """The first of the comments and blank lines that belong to what begins at `first`."""
    top = first
    while top > 0 and page.is_space(top - 1, column):
        top -= 1
    return top


def _tail(end: int, column: int, least: int, page: Page) -> int:
    """Where the last entry ends; comments behind it stay where they are."""
    while end - 1 > least and page.is_space(end - 1, column):
        end -= 1
    return end


def inside_scalars(root: YamlNode, lines: list[str]) -> set[int]:
    """Lines that continue a text: theirs is every space."""
    found: set[int] = set()
    for node in below(root):
        if isinstance(node, ScalarNode):
            is_text = node.style in ("|", ">")
            end = text_end(node, lines) if is_text else node.end_mark.line + 1
            found.update(range(node.start_mark.line + 1, end))
    return found


def text_end(node: ScalarNode, lines: list[str]) -> int:
    """The line behind a text that is written with `|` or `>`; blank lines at its end are its own only with `+`."""
    start, end = node.start_mark, node.end_mark
    last = end.line + (1 if end.column else 0)
    keeps = "+" in lines[start.line][start.column :].partition("#")[0]
    while not keeps and last > start.line + 1 and not lines[last - 1].strip():
        last -= 1
    return int(last)
