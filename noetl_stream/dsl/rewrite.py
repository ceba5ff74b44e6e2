"""Older ways of writing a template, put into today's, each with a sentence for the author."""

from __future__ import annotations

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from noetl_stream.core.names import EVENT_NAMES
from noetl_stream.dsl.metering import EACH, SPENT, WEIGHED, WITHIN

METHODS = {
    "get": "get",
    "items": "items",
    "keys": "keys",
    "values": "values",
    "upper": "upper",
    "lower": "lower",
    "strip": "trim",
    "replace": "replace",
    "title": "title",
    "capitalize": "capitalize",
    "split": "split",
    "startswith": "startswith",
    "endswith": "endswith",
    "isoformat": "isoformat",
    "strftime": "strftime",
}
"""Methods of values that authors call, and the filters that do the same."""


class Rewrite(NodeTransformer):
    """Calls of methods become filters, older event names today's, and every `for` is metered."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self.generic_visit(node)
        callee = node.node
        if not isinstance(callee, nodes.Getattr):
            return node
        if callee.attr == "join" and len(node.args) == 1:
            self.notes.append(
                "values have no methods; write `list | join(text)` in place of `text.join(list)`"
            )
            return nodes.Filter(node.args[0], "join", [callee.node], [], None, None, lineno=node.lineno)
        if callee.attr not in METHODS:
            return node
        if isinstance(callee.node, nodes.Name) and callee.node.name == "loop":
            return node
        name = METHODS[callee.attr]
        self.notes.append(f"values have no methods; write `| {name}` in place of `.{callee.attr}()`")
        return nodes.Filter(
            callee.node, name, node.args, node.kwargs, node.dyn_args, node.dyn_kwargs, lineno=node.lineno
        )

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        if any(map(_is_event_name, node.find_all(nodes.Getattr))):
            for constant in node.find_all(nodes.Const):
                self._rename(constant)
        return _metered(node)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _charged(node.iter, EACH, node)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        return self._metered_body(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        return self._metered_body(node)

    def _metered_body(self, node: nodes.Macro | nodes.CallBlock) -> nodes.Node:
        self.generic_visit(node)
        spend = _charged(nodes.Const(None, lineno=node.lineno), SPENT, node)
        node.body = [nodes.ExprStmt(spend, lineno=node.lineno), *node.body]
        return node

    def _rename(self, constant: nodes.Const) -> None:
        current = EVENT_NAMES.get(constant.value) if isinstance(constant.value, str) else None
        if current:
            self.notes.append(f"the event '{constant.value}' is now called '{current}'")
            constant.value = current


def _charged(
    value: nodes.Node, meter: str, around: nodes.For | nodes.Macro | nodes.CallBlock
) -> nodes.Filter:
    """The value under a meter that is told how large the body is."""
    size = sum(1 for each in around.body for _ in each.find_all(nodes.Node))
    return nodes.Filter(value, meter, [nodes.Const(size)], [], None, None, lineno=around.lineno)


def _metered(node: nodes.Compare) -> nodes.Node:
    """The comparison, charged for what it will look at; beside a constant it looks at little."""
    if len(node.ops) == 1 and node.ops[0].op in ("in", "notin"):
        test = nodes.Test(node.expr, WITHIN, [node.ops[0].expr], [], None, None, lineno=node.lineno)
        return nodes.Not(test, lineno=node.lineno) if node.ops[0].op == "notin" else test
    sides = [node.expr, *(operand.expr for operand in node.ops)]
    if len(sides) > 2 or not any(isinstance(side, nodes.Const) for side in sides):
        node.expr = _weighed(node.expr)
        for operand in node.ops[:-1]:
            operand.expr = _weighed(operand.expr)
    return node


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return nodes.Filter(node, WEIGHED, [], [], None, None, lineno=node.lineno)


def _is_event_name(node: nodes.Getattr) -> bool:
    return node.attr == "name" and isinstance(node.node, nodes.Name) and node.node.name == "event"
