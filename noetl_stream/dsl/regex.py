"""Regular expressions in linear time: RE2 has no backtracking, so no text can make a pattern slow."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from noetl_stream.dsl.limits import check_items

MAX_PATTERN = 10_000


class BadPattern(ValueError):
    """A pattern that RE2 does not accept."""


def search(value: Any, pattern: str, *groups: int | str, ignorecase: bool = False) -> Any:
    """The first match's text, or the texts of the named groups; null if nothing matches."""
    return _texts(_compiled(pattern, ignorecase).search(str(value)), groups)


def match(value: Any, pattern: str, *groups: int | str, ignorecase: bool = False) -> Any:
    """Like `regex_search`, at the beginning of the text."""
    return _texts(_compiled(pattern, ignorecase).match(str(value)), groups)


def findall(value: Any, pattern: str, ignorecase: bool = False) -> list[Any]:
    """All matches' texts, or lists of their groups."""
    return [
        list(each) if isinstance(each, tuple) else each
        for each in _compiled(pattern, ignorecase).findall(str(value))
    ]


def replace(value: Any, pattern: str, replacement: str = "", ignorecase: bool = False) -> str:
    """Every match replaced; `\\\\1` and `\\\\g<name>` are groups."""
    text = str(value)
    expression = _compiled(pattern, ignorecase)
    matches = sum(1 for _ in expression.finditer(text))
    check_items(len(text) * (1 + replacement.count("\\")) + len(replacement) * matches, text=True)
    return str(expression.sub(replacement, text))


def _texts(found: Any, groups: tuple[int | str, ...]) -> Any:
    if found is None:
        return None
    return [found.group(each) for each in groups] if groups else found.group(0)


@lru_cache(maxsize=1024)
def _compiled(pattern: str, ignorecase: bool) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"the pattern is longer than {MAX_PATTERN} characters")
    options = re2.Options()
    options.case_sensitive = not ignorecase
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise BadPattern(f"the pattern is not accepted: {reason}") from None
