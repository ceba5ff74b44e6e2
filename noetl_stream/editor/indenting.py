"""Canonical indentation: two spaces for each level, lists one level deeper than their key. Texts move as a whole."""

from __future__ import annotations

import re

from ruamel.yaml.nodes import MappingNode, ScalarNode
from ruamel.yaml.nodes import Node as YamlNode

from noetl_stream.editor.lines import (
    Entry,
    Page,
    begin_of,
    column_of,
    end_of,
    entries,
    is_block,
    page_of,
    text_end,
)
from noetl_stream.editor.marks import composed

STEP = 2
_EXPLICIT = re.compile(r"[|>][+-]?\d")


def indented(text: str) -> str:
    """The text with every block where it belongs."""
    root = composed(text)
    if root is None or not is_block(root):
        return text
    page = page_of(text, root)
    end = end_of(root, page)
    return "\n".join([*_moved(root, page, 0, end, 0), *page.lines[end:]])


def _moved(node: YamlNode, page: Page, start: int, end: int, to: int) -> list[str]:
    """`lines[start:end]` with the block's entries at column `to`; what stands before it on its first line is cut off."""
    parts = entries(node, page, end)
    if not parts:
        return [_shifted(line, to - column_of(node, page)) for line in page.lines[start:end]]
    found = [_aligned(line, to) for line in page.lines[start : parts[0].first]]
    for part in parts:
        found += [_aligned(line, to) for line in page.lines[part.top : part.first]]
        found += _entry(part, page, to) if isinstance(node, MappingNode) else _item(part, page, to)
    return found + [_aligned(line, to) for line in page.lines[parts[-1].end : end]]


def _entry(part: Entry, page: Page, to: int) -> list[str]:
    head = " " * to + page.lines[part.first][part.column :]
    if part.has_block:
        return [head, *_moved(part.value, page, part.first + 1, part.end, to + STEP)]
    return [head, *_rest(part, page, to)]


def _item(part: Entry, page: Page, to: int) -> list[str]:
    value, first = part.value, page.lines[part.first]
    lead = " " * to + "- "
    if part.has_block and begin_of(value) == part.first and entries(value, page, part.end):
        inner = _moved(value, page, part.first, part.end, to + STEP)
        return [lead + inner[0][to + STEP :], *inner[1:]]
    head = (lead + first[part.column + 1 :].lstrip(" ")).rstrip(" ")
    if part.has_block and begin_of(value) > part.first:
        return [head, *_moved(value, page, part.first + 1, part.end, to + STEP)]
    return [head, *_rest(part, page, to)]


def _rest(part: Entry, page: Page, to: int) -> list[str]:
    """The lines behind the first one of an entry whose value is no block."""
    shift, value, lines = to - part.column, part.value, page.lines
    text: list[str] = []
    after = part.first + 1
    if isinstance(value, ScalarNode) and value.style in ("|", ">") and part.holds_value:
        begin, after = value.start_mark.line + 1, text_end(value, lines)
        text = _text(lines[begin:after], to + STEP, shift, lines[value.start_mark.line])
    return [*text, *(_shifted(line, shift) for line in lines[after : part.end])]


def _text(body: list[str], to: int, shift: int, header: str) -> list[str]:
    """A literal or folded text with its first column at `to`, unless its header says where that is."""
    widths = [len(line) - len(line.lstrip(" ")) for line in body if line.strip()]
    base = min(widths, default=0)
    by = shift if _EXPLICIT.search(header) else to - base
    return [_shifted(line, by) if line.strip() or len(line) > base else "" for line in body]


def _shifted(line: str, by: int) -> str:
    width = len(line) - len(line.lstrip(" "))
    if not line.strip(" ") and by < 0:
        return line[-by:]
    return " " * max(width + by, 0) + line[width:] if line else line


def _aligned(line: str, to: int) -> str:
    """A comment or blank line between entries; a mark that begins or ends a document stays where it is."""
    text = line.strip()
    return " " * to + text if text.startswith("#") else line if text else ""
