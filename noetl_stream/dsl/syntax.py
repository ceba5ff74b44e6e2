"""What the YAML parser objects to, with what an author should do about it."""

from __future__ import annotations

import re
from typing import Final

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

_TEMPLATE = 'quote the whole value, as in "{{ … }}"'
HINTS: Final = (
    (r"found character '\\t'", "indent with spaces, not with tabs"),
    (r"found character '[@`%]'", "quote text that begins so"),
    (r"mapping values are not allowed", "quote text with ': ' in it, or align the key with its neighbours"),
    (r"unexpected end of stream", "close the quote"),
    (r"found '<scalar>'", _TEMPLATE),
    (r"expected ',' or", "close the bracket"),
    (r"found '(\?|<block .* start>)'", "align the line with its neighbours"),
    (r"expected alphabetic or numeric character", "quote text that begins so"),
    (r"found undefined alias", "quote it if text is meant, or write its anchor before it"),
    (r"unknown escape character", "double the backslash, or use single quotes"),
    (r"expected chomping or indentation", "quote text that begins so"),
)
"""What the parser says, and the next step."""


def reason_of(error: YAMLError) -> str:
    """The parser's objection."""
    match error:
        case MarkedYAMLError(problem=str() as problem):
            return problem
        case ReaderError():
            return f"the character U+{_code(error):04X} is not allowed"
        case _:
            return "it cannot be read"


def hint_of(reason: str) -> str | None:
    """What to do about an objection, where that is known."""
    return next((hint for pattern, hint in HINTS if re.search(pattern, reason)), None)


def spot_of(error: YAMLError, text: str) -> tuple[int, int]:
    """The line and column, from 1, that an objection is about."""
    match error:
        case MarkedYAMLError() if mark := error.problem_mark or error.context_mark:
            if error.context_mark and error.context == "while scanning a quoted scalar":
                mark = error.context_mark if "end of stream" in str(error.problem) else mark
            return mark.line + 1, mark.column + 1
        case ReaderError():
            before = text[: error.position]
            return before.count("\n") + 1, error.position - before.rfind("\n")
        case _:
            return 1, 1


def _code(error: ReaderError) -> int:
    found = error.character
    return found if isinstance(found, int) else ord(found)
