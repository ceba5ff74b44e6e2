"""Regular expressions in linear time: RE2 has no backtracking, so no text can make a pattern slow. How long a search
takes is charged from the text's length and the compiled pattern's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import re2
from jinja2 import pass_context

from noetl_stream.dsl.limits import LIMITS, bounded_join, check_items

MAX_PATTERN = 10_000
MAX_GROUPS = 100
"""Each state of a match holds the places of all groups."""
MAX_MEMORY = 1024 * 1024
"""Bytes of one compiled pattern, with what matching it remembers."""
STEPS = 512
"""Instructions of a pattern that are tried in one operation."""
AHEAD = 8
"""By how much a search that found something is cheaper: most look no further, but `a.*z|a` may look to the end each time."""


class BadPattern(ValueError):
    """A pattern that RE2 does not accept."""

    def __init__(self, reason: str, pattern: str) -> None:
        self.pattern = pattern
        super().__init__(reason)


@pass_context
def search(context: Any, value: Any, pattern: str, *groups: int | str, ignorecase: bool = False) -> Any:
    """The first match's text, or the texts of the named groups; null if nothing matches."""
    text = str(value)
    return _texts(_expression(context, text, pattern, ignorecase).search(text), groups)


@pass_context
def match(context: Any, value: Any, pattern: str, *groups: int | str, ignorecase: bool = False) -> Any:
    """Like `regex_search`, at the beginning of the text."""
    text = str(value)
    return _texts(_expression(context, text, pattern, ignorecase).match(text), groups)


@pass_context
def findall(context: Any, value: Any, pattern: str, ignorecase: bool = False) -> list[Any]:
    """All matches' texts, or lists of their groups."""
    found = islice(_matches(context, str(value), pattern, ignorecase), LIMITS.items + 1)
    return [_groups(each) for each in found]


def _groups(found: Any) -> Any:
    """As `findall` shows a match: its text, its only group, or all of them."""
    groups = found.groups(default="")
    return found.group(0) if not groups else groups[0] if len(groups) == 1 else list(groups)


@pass_context
def replace(context: Any, value: Any, pattern: str, replacement: str = "", ignorecase: bool = False) -> str:
    """Every match replaced; `\\\\1` and `\\\\g<name>` are groups."""
    return bounded_join(_replaced(context, str(value), pattern, replacement, ignorecase))


def _replaced(context: Any, text: str, pattern: str, replacement: str, ignorecase: bool) -> Iterator[str]:
    end = 0
    for found in _matches(context, text, pattern, ignorecase):
        context.charge(len(replacement) // 8)
        check_items(len(found.group(0)) * replacement.count("\\") + len(replacement), text=True)
        yield text[end : found.start()]
        yield found.expand(replacement)
        end = found.end()
    yield text[end:]


def _matches(context: Any, text: str, pattern: str, ignorecase: bool) -> Iterator[Any]:
    """All matches, charged one by one: each may have been searched to the text's end."""
    expression = _expression(context, text, pattern, ignorecase)
    price = _price(expression)
    for found in expression.finditer(text):
        context.charge(4 + (len(text) - found.start()) * price // (AHEAD * STEPS))
        yield found


def _texts(found: Any, groups: tuple[int | str, ...]) -> Any:
    if found is None:
        return None
    return [found.group(each) for each in groups] if groups else found.group(0)


def _expression(context: Any, text: str, pattern: str, ignorecase: bool) -> Any:
    """The compiled pattern, charged for one search through the whole text."""
    context.compiles(pattern)
    expression = _compiled(pattern, ignorecase)
    context.charge(4 + len(text) * _price(expression) // STEPS)
    return expression


def _price(expression: Any) -> int:
    """Steps that a character of the text may take."""
    return int(expression.programsize * (1 + expression.groups))


@lru_cache(maxsize=256)
def _compiled(pattern: str, ignorecase: bool) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"the pattern is longer than {MAX_PATTERN} characters", pattern)
    options = re2.Options()
    options.case_sensitive = not ignorecase
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        compiled = re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise BadPattern(f"the pattern is not accepted: {reason}", pattern) from None
    if compiled.groups > MAX_GROUPS:
        raise BadPattern(f"the pattern has more than {MAX_GROUPS} groups", pattern)
    return compiled
