"""An `input` block as an expression: a mapping of values, or one template that yields a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from noetl_stream.core.plan import Expression, Scope
from noetl_stream.core.values import Value
from noetl_stream.dsl.expressions import compile_value
from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node
from noetl_stream.errors import ExpressionError


def compile_bindings(node: Node | None, site: Site) -> Expression | None:
    """Yields a mapping; null counts as an empty one. None where nothing is bound."""
    if node is None:
        return None
    compiled = compile_value(node, site, strict=True)
    if node.is_mapping:
        return compiled
    place = site.describe(node.place)

    def evaluate(scope: Scope) -> Value:
        found = compiled.evaluate(scope)
        if found is None or isinstance(found, Mapping):
            return found or {}
        raise ExpressionError(
            f"an input is a mapping, not a {type(found).__name__}; name its values",
            text=compiled.text,
            place=place,
        )

    return replace(compiled, evaluate=evaluate)
