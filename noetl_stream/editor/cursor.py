"""Where a cursor stands in a document that may be half written: told from indentation and brackets, without a parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

ITEM: Final = "*"
"""An element of a list, in a path."""
Path = tuple[str, ...]
_DASHES = re.compile(r" *(?:- +|-$)*")
_KEY = re.compile(r"""(?P<key>"[^"]*"|'[^']*'|[^\s#'"{}\[\],&*!|>%@`-][^#{}\[\],]*?)\s*:(?P<rest>\s.*|$)""")


@dataclass(slots=True, kw_only=True)
class Cursor:
    """`path` are the keys above, down to the mapping or the value that is being written.

    `writing` tells a key from a value. `known` are scalars that stand beside the path, by the path of their mapping.
    """

    path: Path
    writing: Literal["key", "value"]
    known: dict[Path, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Start:
    """A dash or a key on a line."""

    column: int
    key: str | None
    value: str = ""


def cursor_at(text: str, line: int, column: int) -> Cursor:
    """The cursor at a line and column that count from 0."""
    lines = text.split("\n")
    written = lines[line][:column] if line < len(lines) else ""
    lead = _DASHES.match(written)
    content = lead.end() if lead else 0
    outer = _Outer(lines, line, content)
    inner = _inline(written[content:])
    inner.path = (*outer.path, *inner.path)
    inner.known = outer.known | {(*outer.path, *path): scalars for path, scalars in inner.known.items()}
    return inner


class _Outer:
    """Climbs from a line to the keys above it; notes what stands beside them."""

    def __init__(self, lines: list[str], line: int, column: int) -> None:
        self.path: Path = ()
        self.known: dict[Path, dict[str, str]] = {}
        self._limit, self._in_list = column, False
        self._beside: dict[str, str] = {}
        self._levels: list[tuple[Path, dict[str, str]]] = []
        self._look_below(lines[line + 1 :], column)
        written = lines[line] if line < len(lines) else ""
        for start in reversed([s for s in _starts(written) if s.column < column]):
            self._climb(start)
        for above in reversed(lines[:line]):
            for start in reversed(list(_starts(above))):
                self._climb(start)
        self._close()

    def _climb(self, start: _Start) -> None:
        if start.key is None:
            if start.column < self._limit:
                self._enter(ITEM, start.column, in_list=True)
        elif start.column == self._limit and not self._in_list:
            self._beside.setdefault(start.key, start.value)
        elif start.column < self._limit or (start.column == self._limit and not start.value):
            self._enter(start.key, start.column, in_list=False)

    def _enter(self, element: str, column: int, *, in_list: bool) -> None:
        self._levels.append((self.path, self._beside))
        self.path, self._beside = (element, *self.path), {}
        self._limit, self._in_list = column, in_list

    def _close(self) -> None:
        for below, beside in [*self._levels, (self.path, self._beside)]:
            self.known[self.path[: len(self.path) - len(below)]] = beside

    def _look_below(self, lines: list[str], column: int) -> None:
        for line in lines:
            starts = list(_starts(line))
            if starts and starts[0].column < column:
                return
            for start in starts[:1]:
                if start.key is not None and start.column == column:
                    self._beside.setdefault(start.key, start.value)


def _starts(line: str) -> Iterator[_Start]:
    lead = _DASHES.match(line)
    end = lead.end() if lead else 0
    yield from (_Start(index, None) for index in range(end) if line[index] == "-")
    if found := _KEY.match(line[end:]):
        yield _Start(end, _bare(found["key"]), _bare(found["rest"].partition(" #")[0].strip()))


def _inline(text: str) -> Cursor:
    """What the written part of a line says: `key: value`, brackets included."""
    if found := _KEY.match(text):
        inner = _value(found["rest"].lstrip())
        inner.path = (_bare(found["key"]), *inner.path)
        inner.known = {(_bare(found["key"]), *path): scalars for path, scalars in inner.known.items()}
        return inner
    return Cursor(path=(), writing="key")


def _value(text: str) -> Cursor:
    opened = _open_entry(text) if text[:1] in ("{", "[") else None
    if opened is None:
        return Cursor(path=(), writing="value")
    entry, before = opened
    if text.startswith("["):
        inner = _value(entry)
        inner.path, inner.known = (
            (ITEM, *inner.path),
            {(ITEM, *path): scalars for path, scalars in inner.known.items()},
        )
        return inner
    inner = _inline(entry)
    beside = [found for each in before if (found := _KEY.match(each))]
    inner.known[()] = {_bare(each["key"]): _bare(each["rest"].strip()) for each in beside}
    return inner


def _open_entry(text: str) -> tuple[str, list[str]] | None:
    """The last entry of a bracket that is still open, and those before it; None if it is closed."""
    depth, quote, start, before = 0, "", 1, list[str]()
    for index, mark in enumerate(text):
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        elif mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth == 0:
                return None
        elif mark == "," and depth == 1:
            before.append(text[start:index].strip())
            start = index + 1
    return text[start:].lstrip(), before


def _bare(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text
