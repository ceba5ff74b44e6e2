"""What a problem's suggestion would change in the text: today's spelling for an older one, the word that was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from noetl_stream.editor.marks import Span, span_of
from noetl_stream.errors import Problem

_MEANT = re.compile(r"(?:did you mean '([^'{}]+)'\?|(?:write|is now called) '([^'{}]+)'$)")
_OLDER = re.compile(r"'[^']+' in .* is an older spelling|'[^']+' is now called '[^']+'")
_PLAIN = re.compile(r"[\w./-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One replacement in a text."""

    span: Span
    text: str


def fix_of(problem: Problem, text: str) -> Edit | None:
    """The replacement a problem suggests; None if it suggests none that one word can make."""
    found = _MEANT.search(problem.suggestion or "") or _MEANT.search(problem.message)
    span = span_of(problem, text)
    word = span.of(text)
    if found is None or not word or f"'{word}'" not in problem.message:
        return None
    meant = found[1] or found[2]
    return Edit(span=span, text=meant if _PLAIN.fullmatch(meant) else f'"{meant}"')


def is_older(problem: Problem) -> bool:
    """Whether it is about a spelling that has a newer one."""
    return _OLDER.search(problem.message) is not None


def applied(edits: Iterable[Edit], text: str) -> str:
    """The text with all edits made. Where two disagree about a place, neither is."""
    by_span: dict[Span, set[str]] = {}
    for edit in edits:
        by_span.setdefault(edit.span, set()).add(edit.text)
    for span, texts in sorted(by_span.items(), reverse=True):
        if len(texts) == 1:
            text = f"{text[: span.start]}{texts.pop()}{text[span.end :]}"
    return text
