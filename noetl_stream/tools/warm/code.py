"""How a python task's code runs: its names, its ways to yield a result, and `main` bound by name."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import keyword
import linecache
import sys
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, MappingProxyType, ModuleType
from typing import Any

FILE = "<code>"
MODULE = "noetl_task"
_FELL_THROUGH = "__noetl_fell_through__"


@dataclass(frozen=True, slots=True)
class FellThrough:
    """Code reached its end without a `return`: its names may still hold a result. `assigns`: the code says so."""

    names: Mapping[str, Any]
    assigns: bool

    def has_result(self, inputs: Mapping[str, Any]) -> bool:
        """Whether `result` was assigned: an input of that name is no result by standing there."""
        if "result" not in self.names:
            return False
        return self.assigns or "result" not in inputs or self.names["result"] is not inputs["result"]


def run(request: Mapping[str, Any]) -> Any:
    """The task's result: what it returned, else `result` if it assigned that, else what `main(…)` returns."""
    inputs: dict[str, Any] = request["input"]
    reserved = {
        "input_data": dict(inputs),
        "args": dict(inputs),
        "context": MappingProxyType(request["context"]),
    }
    module = ModuleType(MODULE)
    module.__dict__.update(_libraries(request["libs"]) | reserved | inputs)
    module.__dict__.update({"__name__": MODULE, "__builtins__": builtins})
    sys.modules[MODULE] = module
    try:
        returned = execute(parse(request["code"]), module.__dict__)
        if isinstance(returned, FellThrough):
            returned = _unreturned(returned, inputs, reserved)
        return _waited_for(returned) if inspect.isawaitable(returned) else returned
    finally:
        sys.modules.pop(MODULE, None)


def parse(code: str) -> ast.Module:
    """The syntax tree, with the source kept for tracebacks."""
    linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
    return ast.parse(code, FILE)


def _libraries(libs: Mapping[str, Any]) -> dict[str, Any]:
    import datetime
    import json

    return {"json": json, "datetime": datetime} | {alias: _library(spec) for alias, spec in libs.items()}


def _library(spec: str | Mapping[str, str]) -> Any:
    if isinstance(spec, str):
        return importlib.import_module(spec)
    module = importlib.import_module(spec["from"])
    try:
        return getattr(module, spec["import"])
    except AttributeError:
        return importlib.import_module(f"{spec['from']}.{spec['import']}")


def execute(tree: ast.Module, names: dict[str, Any]) -> Any:
    """What the code returned, or FellThrough: a function body if it has a `return` at top level, else a module's."""
    assigns = _assigns_result(tree)
    if not any(isinstance(node, ast.Return) for node in _top_level(tree)):
        exec(compile(tree, FILE, "exec"), names)
        return FellThrough(names, assigns)
    # Every name is a parameter, so that a body may assign what it has read, as a module may.
    given = {name: names[name] for name in _parameters(names, _declared_global(_top_level(tree)))}
    names[_FELL_THROUGH] = lambda found: FellThrough({**names, **found}, assigns)
    exec(_as_function(tree, list(given)), names)
    return names.pop(MODULE)(**given)


def _parameters(names: Iterable[str], declared: set[str]) -> list[str]:
    usable = (name for name in names if name.isidentifier() and not keyword.iskeyword(name))
    return [name for name in usable if name not in declared and not name.startswith("__")]


def _assigns_result(tree: ast.Module) -> bool:
    """Whether the code itself binds `result`, at top level or as a function's global."""
    stored = any(
        isinstance(node, ast.Name) and node.id == "result" and isinstance(node.ctx, ast.Store)
        for node in _top_level(tree)
    )
    return stored or "result" in _declared_global(ast.walk(tree))


def _declared_global(nodes: Iterable[ast.AST]) -> set[str]:
    return {name for node in nodes if isinstance(node, ast.Global) for name in node.names}


def _top_level(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from _top_level(child)


def _as_function(tree: ast.Module, parameters: list[str]) -> CodeType:
    head = ast.parse(
        f"def {MODULE}(*, {', '.join(parameters)}): pass" if parameters else f"def {MODULE}(): pass"
    )
    tail = ast.parse(f"def _(): return {_FELL_THROUGH}(locals())")
    function, ending = head.body[0], tail.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert isinstance(ending, ast.FunctionDef)
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    function.body = [*(node for node in tree.body if node not in future), *ending.body]
    head.body = [*future, function]
    return compile(head, FILE, "exec")


def _unreturned(ended: FellThrough, inputs: Mapping[str, Any], reserved: Mapping[str, Any]) -> Any:
    if ended.has_result(inputs):
        return ended.names["result"]
    main = ended.names.get("main")
    return _call(main, inputs, reserved) if callable(main) and "main" not in inputs else None


def _waited_for(answer: Awaitable[Any]) -> Any:
    import asyncio

    return asyncio.run(_awaited(answer))


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _call(main: Any, inputs: Mapping[str, Any], reserved: Mapping[str, Any]) -> Any:
    offered = {**reserved, **inputs}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    rest = dict(inputs)
    takes_rest = False
    for parameter in inspect.signature(main).parameters.values():
        rest.pop(parameter.name, None)
        match parameter.kind:
            case inspect.Parameter.VAR_KEYWORD:
                takes_rest = True
            case inspect.Parameter.VAR_POSITIONAL:
                pass
            case inspect.Parameter.POSITIONAL_ONLY:
                positional.append(_argument(parameter, offered, inputs))
            case _ if parameter.name in offered or parameter.default is parameter.empty:
                named[parameter.name] = _argument(parameter, offered, inputs)
    return main(*positional, **named, **(rest if takes_rest else {}))


def _argument(parameter: inspect.Parameter, offered: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    if parameter.name in offered:
        return offered[parameter.name]
    if parameter.default is not parameter.empty:
        return parameter.default
    known = ", ".join(inputs) or "none"
    raise TypeError(
        f"main() needs '{parameter.name}', which is no input of this task; its inputs are: {known}"
    )
