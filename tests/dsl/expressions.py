"""One value compiled and evaluated as a document's would be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noetl_stream.dsl.expressions import compile_value
from noetl_stream.dsl.report import Report, Site
from noetl_stream.dsl.source import Node, Place


def outcome(text: str, scope: Mapping[str, Any]) -> Any:
    """What a template yields through the public door: its value, or why it is refused. Raises ExpressionError."""
    site = Site(report=Report(), subject="step 's'", known=frozenset(scope))
    expression = compile_value(Node(text, Place("f.yaml", 1, 1)), site.at("k"))
    if site.report.errors:
        return "refused: " + site.report.errors[0].message
    return expression.evaluate(scope)
