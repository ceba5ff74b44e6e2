"""What a template reads, found in its syntax tree; and what no template may contain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from jinja2 import nodes

from noetl_stream.core.names import DRAWN
from noetl_stream.core.plan import Path
from noetl_stream.dsl.generator import handed_on, unchained

BUILTINS = frozenset({"range", "dict", "namespace"})
_LOOP_CALLS = frozenset({"cycle", "changed"})
_REFUSED = (nodes.Block, nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)


@dataclass(slots=True)
class Reads:
    """Paths from names of the scope, and sentences about what is not allowed."""

    paths: set[Path] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def visit(self, node: nodes.Node, local: set[str]) -> None:
        """Walk in the order of evaluation; `local` are the names the template itself has bound so far."""
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                self._look_up(node, local)
            case nodes.Call():
                self._call(node, local)
            case nodes.For():
                self._for(node, local)
            case nodes.Assign() | nodes.AssignBlock():
                self._children(node, local, skip=node.target)
                local |= bound_names(node.target)
            case nodes.If():
                self._if(node, local)
            case nodes.Macro() | nodes.CallBlock():
                self._macro(node, local)
            case nodes.With():
                self._with(node, local)
            case _ if isinstance(node, _REFUSED):
                self.refused.append(f"`{type(node).__name__.lower()}` has no place in a playbook")
            case _:
                self._children(node, local)

    def _children(self, node: nodes.Node, local: set[str], skip: nodes.Node | None = None) -> None:
        for child in node.iter_child_nodes():
            if child is not skip:
                self.visit(child, local)

    def _look_up(self, node: nodes.Expr, local: set[str]) -> None:
        base, keys = unchained(node) if isinstance(node, nodes.Getattr | nodes.Getitem) else (node, [])
        for key in keys:
            self.visit(key, local)
        if not isinstance(base, nodes.Name):
            self.visit(base, local)
        elif base.name == "self":
            # Jinja compiles this name to the template itself.
            self.refused.append("`self` names nothing here; for a workload key write `workload.self`")
        elif base.ctx == "load" and base.name not in local and base.name not in BUILTINS:
            self.paths.add(constant_path(base.name, keys))

    def _call(self, node: nodes.Call, local: set[str]) -> None:
        if not self._may_call(node.node, local):
            self.refused.append("a value cannot be called; use a filter, as in `x | get('key')`")
        self._children(node, local)

    @staticmethod
    def _may_call(callee: nodes.Expr, local: set[str]) -> bool:
        match callee:
            case nodes.Name(name=name):
                return name in BUILTINS | DRAWN | local | {"caller"}
            case nodes.Getattr(node=nodes.Name(name="loop"), attr=attr):
                return "loop" in local and attr in _LOOP_CALLS
            case _:
                return False

    def _for(self, node: nodes.For, local: set[str]) -> None:
        if node.recursive:
            self.refused.append("recursive loops are not accepted")
        self.visit(node.iter, local)
        inner = local | bound_names(node.target) | {"loop"}
        for part in ([node.test] if node.test else []) + node.body:
            self.visit(part, inner)
        self._all(node.else_, set(local))

    def _if(self, node: nodes.If, local: set[str]) -> None:
        self.visit(node.test, local)
        self._all([each.test for each in node.elif_], local)
        parts = [node.body, *(each.body for each in node.elif_), node.else_]
        branches = [set(local) for _ in parts]
        for part, names in zip(parts, branches, strict=True):
            self._all(part, names)
        local |= set.intersection(*branches)

    def _macro(self, node: nodes.Macro | nodes.CallBlock, local: set[str]) -> None:
        if isinstance(node, nodes.CallBlock):
            self.visit(node.call, local)
        else:
            local.add(node.name)
        self._all([*node.defaults], local)
        self._all([*node.body], local | {a.name for a in node.args} | {"caller", "varargs", "kwargs"})

    def _with(self, node: nodes.With, local: set[str]) -> None:
        self._all(node.values, local)
        inner = local.union(*(bound_names(target) for target in node.targets))
        self._all(node.body, inner)

    def _all(self, parts: Iterable[nodes.Node], local: set[str]) -> None:
        for part in parts:
            self.visit(part, local)


def reads_of(tree: nodes.Node) -> Reads:
    """What the whole template reads."""
    reads = Reads()
    reads.visit(tree, set())
    return reads


def passes_of(root: nodes.Expr) -> frozenset[Path]:
    """The paths whose values a sole expression hands on whole."""
    found = Reads()
    for node in handed_on(root):
        found.visit(node, set())
    return frozenset(found.paths)


def bound_names(target: nodes.Node) -> set[str]:
    """The names an assignment's or a loop's target binds."""
    names = {each.name for each in target.find_all(nodes.Name)}
    return names | {target.name} if isinstance(target, nodes.Name) else names


def constant_path(root: str, keys: list[nodes.Expr]) -> Path:
    """The path up to the first look-up that is not a constant."""
    path = [root]
    for key in keys:
        segment = _segment(key)
        if segment is None:
            break
        path.append(segment)
    return tuple(path)


def _segment(key: nodes.Expr) -> str | None:
    match key:
        case nodes.Const(value=str() as text) if text and "." not in text and "?" not in text:
            return text
        case nodes.Const(value=int() as number) if not isinstance(number, bool):
            return str(number)
        case nodes.Neg(node=nodes.Const(value=int() as number)):
            return str(-number)
        case _:
            return None
