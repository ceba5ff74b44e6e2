"""Plans without what formatting may change, so that two can be compared: places, digests, the order of keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from noetl_stream.core.names import EVENT_NAMES
from noetl_stream.core.plan import Expression
from noetl_stream.dsl.compiler import Compiled

PASSING = frozenset({"place", "digest", "code_below"})


def sketch(value: Any) -> Any:
    """The plan as plain values; of an expression, what it reads and the templates it is made of."""
    match value:
        case Compiled():
            return sketch(value.plan), sketch(value.kept)
        case Expression():
            return sorted(value.reads), sorted(value.passes), sorted(_current(value.text).split(", "))
        case Mapping():
            return {key: sketch(each) for key, each in value.items()}
        case list() | tuple():
            return [sketch(each) for each in value]
        case set() | frozenset():
            return sorted(map(str, value))
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {f.name: sketch(getattr(value, f.name)) for f in fields(value) if f.name not in PASSING}
        case _ if callable(value):
            return None
        case _:
            return value


def _current(text: str) -> str:
    """A template's text with today's names of events, which older ones equal."""
    for old, new in EVENT_NAMES.items():
        text = text.replace(old, new)
    return text
