"""Lengths of time as authors write them: seconds, or text like `15m`."""

from __future__ import annotations

import re
from typing import Final

from noetl_stream.core.plan import Expression, Scope
from noetl_stream.core.values import Value
from noetl_stream.dsl.expressions import as_number, compile_value
from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import has_template
from noetl_stream.errors import ExpressionError

UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800, "y": 31_536_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdwy])\s*", re.IGNORECASE)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.IGNORECASE)


def seconds(value: Value) -> float | None:
    """A duration in seconds: a number, or text like `90s`, `1h30m`, `7d`; None if it is neither, or less than nothing."""
    number = as_number(value)
    if number is not None:
        return float(number) if number >= 0 else None
    if not isinstance(value, str) or not _WHOLE.fullmatch(value.strip()):
        return None
    return float(sum(float(count) * UNITS[unit.lower()] for count, unit in _PART.findall(value)))


def duration(node: Node, site: Site) -> float | None:
    """The seconds a key gives; an error, and None, if it gives none."""
    found = seconds(node.value)
    if found is None:
        site.report.error(f"{site.what} is a number of seconds or a text like '15m'", node.place)
    return found


def compile_duration(node: Node, site: Site) -> float | Expression | None:
    """The seconds a key gives, or an expression for them where its author wrote a template."""
    if not has_template(node.text or ""):
        return duration(node, site)
    compiled, place = compile_value(node, site, strict=True), site.describe(node.place)

    def evaluate(scope: Scope) -> float:
        found = seconds(compiled.evaluate(scope))
        if found is None:
            raise ExpressionError("it yields no duration", text=compiled.text, place=place)
        return found

    return Expression(evaluate=evaluate, reads=compiled.reads, text=compiled.text)
