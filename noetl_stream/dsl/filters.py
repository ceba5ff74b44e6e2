"""Filters of ours, and bounded ones in place of those of Jinja's that could make much of little."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import textwrap
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from jinja2 import filters as jinja
from jinja2 import pass_context, pass_eval_context

from noetl_stream.dsl import lookup
from noetl_stream.dsl.limits import LimitExceeded, bounded_join, check_items, check_text
from noetl_stream.dsl.native import native, solid

MAX_INDENT = 16
MAX_PRECISION = 300
_FORMAT = re.compile(r"(?=.{0,200}\Z)(?:[^%]|%[a-zA-Z%])*", re.DOTALL)


def json_text(value: Any, indent: int | None = None) -> str:
    """Plain JSON: dates as ISO text, decimals exact. Raises ValueError for what JSON cannot say."""
    if indent is not None and indent > MAX_INDENT:
        raise LimitExceeded(f"it indents by more than {MAX_INDENT}")
    made = solid(native(value))
    if indent is None:
        return json.dumps(made, ensure_ascii=False, allow_nan=False)
    # Indented elements may be far longer than they are plain.
    return bounded_join(json.JSONEncoder(indent=indent, ensure_ascii=False, allow_nan=False).iterencode(made))


def from_json(value: str) -> Any:
    return parsed_json(check_text(value))


def parsed_json(text: str) -> Any:
    """The value that JSON text says. Raises ValueError for text that is none, nests too deeply, or says NaN."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def b64_encode(value: Any) -> str:
    return base64.b64encode(str(value).encode()).decode("ascii")


def b64_decode(value: str) -> str:
    return base64.b64decode(value).decode()


def get(value: Any, key: Any, default: Any = None) -> Any:
    found = lookup.plain(lookup.follow(value, (lookup.scalar(key),)))
    return default if isinstance(found, lookup.Nothing) else found


def keys(value: Mapping[str, Any]) -> list[str]:
    return list(_mapping(value))


def values(value: Mapping[str, Any]) -> list[Any]:
    return list(_mapping(value).values())


def items(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(_mapping(value).items())


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, lookup.Nothing) or value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"it needs a mapping, not a {type(value).__name__}")
    return value


def sha256(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


def to_datetime(value: Any) -> datetime:
    """ISO text, a date, or seconds since the epoch."""
    match value:
        case datetime():
            return value
        case date():
            return datetime.combine(value, time())
        case int() | float():
            return datetime.fromtimestamp(value, tz=UTC)
        case _:
            return datetime.fromisoformat(str(value))


def isoformat(value: Any) -> str:
    """A moment as text. Raises TypeError for what is none."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, str):
        return value
    raise TypeError(f"it needs a date, not a {type(value).__name__}")


def strftime(value: Any, format: str) -> str:
    """A moment in a format of plain directives: `%Y`, not `%9Y`, which would pad without bound."""
    if not _FORMAT.fullmatch(format):
        raise ValueError("a format is at most 200 characters with directives like %Y")
    return to_datetime(value).strftime(format)


def split(value: Any, separator: str | None = None, most: int = -1) -> list[str]:
    text = str(value)
    check_items(text.count(separator) if separator else len(text) // 2)
    return text.split(separator, most)


def startswith(value: Any, prefix: str) -> bool:
    return str(value).startswith(prefix)


def endswith(value: Any, suffix: str) -> bool:
    return str(value).endswith(suffix)


def wordwrap(value: Any, width: int = 79, wrapstring: str = "\n") -> str:
    """Lines of at most `width` characters."""
    text = str(value)
    check_items(len(text) * (1 + len(wrapstring)), text=True)
    return wrapstring.join(line for each in text.splitlines() for line in textwrap.wrap(each, width))


def center(value: Any, width: int = 80) -> str:
    check_items(width, text=True)
    return str(value).center(width)


def indent(value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    text = str(value)
    margin = width if isinstance(width, str) else None
    size = len(margin) if margin is not None else int(width)
    check_items(len(text) + size * (text.count("\n") + 1), text=True)
    return str(jinja.do_indent(text, width, first, blank))


def replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, old, new = str(value), str(old), str(new)
    check_items(len(text) + len(new) * text.count(old), text=True)
    return text.replace(old, new, -1 if count is None else count)


@pass_context
def join(context: Any, value: Any, d: Any = "", attribute: str | int | None = None) -> str:
    """Text of the elements, with `d` between them."""
    if not isinstance(d, str):
        context.measure(d)
    elements = list(value)
    if attribute is not None:
        path = _charged_path(context, attribute, len(elements))
        elements = [lookup.plain(lookup.follow(each, path)) for each in elements]
    texts = [context.environment.finalize(context, each) for each in elements]
    check_items(sum(map(len, texts)) + len(str(d)) * len(texts), text=True)
    return str(d).join(texts)


def _charged_path(context: Any, attribute: str | int, times: int) -> tuple[str | int, ...]:
    path = _path(attribute)
    context.charge(len(path) * times)
    return path


def _path(attribute: str | int) -> tuple[str | int, ...]:
    if isinstance(attribute, int):
        return (attribute,)
    return tuple(int(part) if part.isdigit() else part for part in attribute.split("."))


@pass_context
def total(context: Any, value: Any, attribute: str | int | None = None, start: int | float = 0) -> Any:
    """The sum of numbers; sums of lists would grow without bound."""
    elements = list(value)
    path = () if attribute is None else _charged_path(context, attribute, len(elements))
    numbers = [lookup.plain(lookup.follow(each, path)) for each in elements]
    if any(isinstance(each, str | list | tuple) for each in (start, *numbers)):
        raise TypeError("`sum` adds numbers")
    return sum(numbers, start)


def rounded(value: Any, precision: int = 0, method: str = "common") -> float:
    if abs(precision) > MAX_PRECISION:
        raise LimitExceeded(f"it rounds to more than {MAX_PRECISION} digits")
    return float(jinja.do_round(value, precision, method))  # type: ignore[arg-type] # checked there


@pass_eval_context
def urlize(context: Any, value: Any, *args: Any, **kwargs: Any) -> str:
    """Jinja's: each word may become a link, with everything that was given beside it."""
    text = str(value)
    beside = sum(len(each) for each in (*args, *kwargs.values()) if isinstance(each, str))
    check_items(5 * len(text) + len(text.split()) * beside, text=True)
    return jinja.do_urlize(context, text, *args, **kwargs)


@pass_context
def groupby(
    context: Any, value: Any, attribute: str | int, default: Any = None, case_sensitive: bool = False
) -> Any:
    """Jinja's. Charged for sorting too, by which it finds the groups."""
    elements = list(value)
    context.charge(2 * len(elements))
    return jinja.sync_do_groupby(context.environment, elements, attribute, default, case_sensitive)


@pass_context
def batch(context: Any, value: Any, linecount: int, fill_with: Any = None) -> Any:
    """Jinja's. Charged for a line's length, since the last one may be filled up."""
    check_items(linecount)
    context.charge(linecount // 8)
    return jinja.do_batch(value, linecount, fill_with)


def slices(value: Any, slices: int, fill_with: Any = None) -> Any:
    check_items(slices)
    return jinja.sync_do_slice(value, slices, fill_with)
