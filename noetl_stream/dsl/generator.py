"""Jinja's code generator, changed so that a chain of look-ups is one call and marked values are unwrapped where used."""

from __future__ import annotations

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame

VALUE = "_value"
"""The variable in which a sole expression leaves its value."""


class Generator(CodeGenerator):
    """`a.b[0].c` becomes `environment.read(a, ('b', 0, 'c'))`.

    `read` unwraps results and refuses what only a payload can tell. Where a value is merely handed on (the root of
    a sole expression) or asked whether it exists, `keep` leaves a reference be.
    """

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:
        if isinstance(node.target, nodes.Name) and node.target.name == VALUE:
            self._kept = handed_on(node.node)
        super().visit_Assign(node, frame)

    def visit_Test(self, node: nodes.Test, frame: Frame) -> None:
        if node.name in ("defined", "undefined", "none"):
            self._kept = [*self._kept, node.node]
        super().visit_Test(node, frame)

    def visit_Name(self, node: nodes.Name, frame: Frame) -> None:
        if node.ctx != "load":
            super().visit_Name(node, frame)
            return
        self.write(f"environment.{'whole' if self._is_kept(node) else 'plain'}(")
        super().visit_Name(node, frame)
        self.write(")")

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        self._chain(node, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        self._chain(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.concat((")
        for each in node.nodes:
            self.write("environment.finalize(context, ")
            self.visit(each, frame)
            self.write("), ")
        self.write("))")

    def _chain(self, node: nodes.Getattr | nodes.Getitem, frame: Frame) -> None:
        base, keys = unchained(node)
        sliced = any(isinstance(key, nodes.Slice) for key in keys)
        self.write("context.sized(" if sliced else "(")
        self.write(f"environment.{'keep' if self._is_kept(node) else 'read'}(")
        if isinstance(base, nodes.Name):
            super().visit_Name(base, frame)
        else:
            self.visit(base, frame)
        self.write(", (")
        for key in keys:
            self._key(key, frame)
            self.write(", ")
        self.write(")))")

    def _key(self, key: nodes.Expr, frame: Frame) -> None:
        if not isinstance(key, nodes.Slice):
            self._scalar(key, frame)
            return
        self.write("slice(")
        for bound in (key.start, key.stop, key.step):
            self.visit(bound or nodes.Const(None), frame)
            self.write(", ")
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("{")
        for pair in node.items:
            self._scalar(pair.key, frame)
            self.write(": ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("}")

    def _scalar(self, key: nodes.Expr, frame: Frame) -> None:
        """A key, which is checked where it is computed."""
        self.write("" if isinstance(key, nodes.Const) else "environment.scalar(")
        self.visit(key, frame)
        self.write("" if isinstance(key, nodes.Const) else ")")

    _kept: list[nodes.Node] = []  # noqa: RUF012 - replaced, never changed

    def _is_kept(self, node: nodes.Node) -> bool:
        return any(node is each for each in self._kept)


def unchained(node: nodes.Getattr | nodes.Getitem) -> tuple[nodes.Expr, list[nodes.Expr]]:
    """A chain of look-ups as its base and its keys, outermost last."""
    keys: list[nodes.Expr] = []
    base: nodes.Expr = node
    while isinstance(base, nodes.Getattr | nodes.Getitem):
        keys.append(nodes.Const(base.attr) if isinstance(base, nodes.Getattr) else base.arg)
        base = base.node
    return base, keys[::-1]


def handed_on(node: nodes.Node) -> list[nodes.Node]:
    """The look-ups whose values an expression hands on without looking into them."""
    match node:
        case nodes.Name() | nodes.Getattr() | nodes.Getitem():
            return [node]
        case nodes.List(items=items) | nodes.Tuple(items=items):
            return [found for each in items for found in handed_on(each)]
        case nodes.Dict(items=pairs):
            return [found for pair in pairs for found in handed_on(pair.value)]
        case nodes.CondExpr(expr1=yes, expr2=no):
            return [*handed_on(yes), *(handed_on(no) if no else [])]
        case _:
            return []
