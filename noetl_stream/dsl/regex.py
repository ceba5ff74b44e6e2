"""Regular expressions in linear time: RE2 has no backtracking, so no text can make a pattern slow."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any

import re2
from jinja2 import pass_context

from noetl_stream.dsl.limits import LIMITS, check_items

MAX_PATTERN = 10_000
MAX_MEMORY = 1024 * 1024
"""Bytes of one compiled pattern, with what matching it remembers."""


class BadPattern(ValueError):
    """A pattern that RE2 does not accept."""

    def __init__(self, reason: str, pattern: str) -> None:
        self.pattern = pattern
        super().__init__(reason)


@pass_context
def search(context: Any, value: Any, pattern: str, *groups: int | str, ignorecase: bool = False) -> Any:
    """The first match's text, or the texts of the named groups; null if nothing matches."""
    return _texts(_expression(context, pattern, ignorecase).search(str(value)), groups)


@pass_context
def match(context: Any, value: Any, pattern: str, *groups: int | str, ignorecase: bool = False) -> Any:
    """Like `regex_search`, at the beginning of the text."""
    return _texts(_expression(context, pattern, ignorecase).match(str(value)), groups)


@pass_context
def findall(context: Any, value: Any, pattern: str, ignorecase: bool = False) -> list[Any]:
    """All matches' texts, or lists of their groups."""
    expression = _expression(context, pattern, ignorecase)
    found = islice(expression.finditer(str(value)), LIMITS.items + 1)
    return [_groups(each) for each in found]


def _groups(found: Any) -> Any:
    """As `findall` shows a match: its text, its only group, or all of them."""
    groups = found.groups(default="")
    return found.group(0) if not groups else groups[0] if len(groups) == 1 else list(groups)


@pass_context
def replace(context: Any, value: Any, pattern: str, replacement: str = "", ignorecase: bool = False) -> str:
    """Every match replaced; `\\\\1` and `\\\\g<name>` are groups."""
    text = str(value)
    expression = _expression(context, pattern, ignorecase)
    matches = sum(1 for _ in expression.finditer(text))
    check_items(len(text) * (1 + replacement.count("\\")) + len(replacement) * matches, text=True)
    return str(expression.sub(replacement, text))


def _texts(found: Any, groups: tuple[int | str, ...]) -> Any:
    if found is None:
        return None
    return [found.group(each) for each in groups] if groups else found.group(0)


def _expression(context: Any, pattern: str, ignorecase: bool) -> Any:
    context.compiles(pattern)
    return _compiled(pattern, ignorecase)


@lru_cache(maxsize=256)
def _compiled(pattern: str, ignorecase: bool) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"the pattern is longer than {MAX_PATTERN} characters", pattern)
    options = re2.Options()
    options.case_sensitive = not ignorecase
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise BadPattern(f"the pattern is not accepted: {reason}", pattern) from None
