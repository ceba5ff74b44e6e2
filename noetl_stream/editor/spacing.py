"""Canonical blank lines: one between steps and between sections that take more than a line, never two in a row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ruamel.yaml.nodes import Node as YamlNode

from noetl_stream.editor.lines import Entry, Page, end_of, entries, is_block, page_of
from noetl_stream.editor.marks import composed

_APART = ("workflow", "workbook")
_TOGETHER = ("kind", "metadata")
"""The document's head is one section."""
_NEW = -1
"""The number of a line that was not there."""


def spaced(text: str) -> str:
    """The text with canonical blank lines, and no spaces at the ends of its lines."""
    root = composed(text)
    if root is None or not is_block(root):
        return text
    page = page_of(text.removesuffix("\n"), root)
    lines, kept = page.lines, page.kept
    wanted = set(_gaps(root, page))
    found: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        stripped = line if number in kept else line.rstrip(" \t")
        after_text = bool(found) and bool(found[-1][1].strip())
        if number in wanted and after_text:
            found.append((_NEW, ""))
        if stripped or number in kept or after_text:
            found.append((number, stripped))
    while not found[-1][1] and found[-1][0] not in kept:
        found.pop()
    return "\n".join(line for _, line in found) + "\n"


def _gaps(root: YamlNode, page: Page) -> Iterator[int]:
    """The lines before which a blank one belongs."""
    sections = entries(root, page, end_of(root, page))
    yield from _between([s for s in sections if s.key.value not in _TOGETHER], page)
    for section in sections:
        if section.key.value in _APART and section.has_block:
            yield from _between(entries(section.value, page, section.end), page)


def _between(parts: list[Entry], page: Page) -> Iterator[int]:
    for before, part in pairwise(parts):
        long = before.end - before.first > 1 or part.end - part.first > 1
        if long and all(line.strip() for line in page.lines[part.top : part.first]):
            yield part.top
