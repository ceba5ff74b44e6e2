"""SQL text into statements, without knowing any dialect whole: quotes, comments and dollar quotes hide a semicolon."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<hidden>[eE]'(?:[^'\\]|\\.|'')*'"
    r"|'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"'
    r"|`[^`]*`"
    r"|\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$"
    r"|['\"`].*)"
    r"|(?P<comment>--[^\n]*|/\*)"
    r"|(?P<end>;)"
    r"|(?P<code>::|\w+)"
    r"|\?\d*|[:@$](?P<name>[A-Za-z_]\w*)"
    r"|(?P<other>\S)",
    re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlText:
    """One statement, and the places it has for parameters, each once: names, or "1", "2", … for question marks."""

    text: str
    places: tuple[str, ...] = ()


def statements(text: str) -> Iterator[SqlText]:
    """The statements of a text. Comments alone are none; what is left open reaches to the end."""
    start = at = 0
    places: dict[str, None] = {}
    empty = True
    while (token := _TOKEN.search(text, at)) is not None:
        at = token.end()
        if token["end"]:
            if not empty:
                yield SqlText(text=text[start : token.start()], places=tuple(places))
            start, places, empty = at, {}, True
        elif token["comment"]:
            at = _after_comment(text, token)
        else:
            empty = False
            places |= dict.fromkeys(_place(token, len(places)))
    if not empty:
        yield SqlText(text=text[start:], places=tuple(places))


def first_word(statement: str) -> str:
    """The first word of a statement, in capitals; empty if it has none."""
    at = 0
    while (token := _TOKEN.search(statement, at)) is not None:
        if not token["comment"]:
            return token[0].upper()
        at = _after_comment(statement, token)
    return ""


def has_word(statement: str, word: str) -> bool:
    """Whether a word, in capitals, stands in a statement outside quotes and comments."""
    at = 0
    while (token := _TOKEN.search(statement, at)) is not None:
        at = _after_comment(statement, token) if token["comment"] else token.end()
        if token["code"] and token[0].upper() == word:
            return True
    return False


def numbered(statement: str, *, marks: bool) -> SqlText:
    """The statement with `$1`, `$2`, … for each `$name`, or if `marks` for each `?`; its places are in that order.

    Every other use of `$`, `?`, `:` and `@` is the dialect's own: operators, slices, casts.
    """
    found: dict[str, int] = {}
    parts: list[str] = []
    start = at = 0
    while (token := _TOKEN.search(statement, at)) is not None:
        at = _after_comment(statement, token) if token["comment"] else token.end()
        if place := _marked(token, len(found)) if marks else _dollar(token):
            number = found.setdefault(place, len(found) + 1)
            parts += [statement[start : token.start()], f"${number}"]
            start = at
    return SqlText(text="".join([*parts, statement[start:]]), places=tuple(found))


def marked(statement: str) -> SqlText:
    """The statement with `?` for each `$name`; its places are in that order, a name as often as it stands there."""
    found: list[str] = []
    parts: list[str] = []
    start = at = 0
    while (token := _TOKEN.search(statement, at)) is not None:
        at = _after_comment(statement, token) if token["comment"] else token.end()
        if place := _dollar(token):
            found.append(place)
            parts += [statement[start : token.start()], "?"]
            start = at
    return SqlText(text="".join([*parts, statement[start:]]), places=tuple(found))


def _marked(token: re.Match[str], before: int) -> str:
    return token[0][1:] or str(before + 1) if token[0].startswith("?") else ""


def _dollar(token: re.Match[str]) -> str:
    return token["name"] if token["name"] and token[0].startswith("$") else ""


def _place(token: re.Match[str], before: int) -> list[str]:
    if token["name"]:
        return [token["name"]]
    mark = _marked(token, before)
    return [mark] if mark else []


def _after_comment(text: str, token: re.Match[str]) -> int:
    """Where a comment ends; block comments may be nested."""
    if token[0] != "/*":
        return token.end()
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, token.end()):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)
