"""How a python task's code runs: its names, its ways to yield a result, and `main` bound by name."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import keyword
import linecache
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, MappingProxyType, ModuleType
from typing import Any

FILE = "<code>"
MODULE = "noetl_task"
_FELL_THROUGH = "__noetl_fell_through__"


@dataclass(frozen=True, slots=True)
class _FellThrough:
    """A function body reached its end without a `return`: its local names may still hold a result."""

    names: Mapping[str, Any]


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
        returned = _execute(request["code"], module.__dict__, inputs)
        if not isinstance(returned, _FellThrough):
            return returned
        return _unreturned(returned.names, inputs, reserved)
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


def _execute(code: str, names: dict[str, Any], inputs: Mapping[str, Any]) -> Any:
    tree = parse(code)
    if not any(isinstance(node, ast.Return) for node in _top_level(tree)):
        exec(compile(tree, FILE, "exec"), names)
        return _FellThrough(names)
    parameters = [name for name in inputs if name.isidentifier() and not keyword.iskeyword(name)]
    names[_FELL_THROUGH] = _FellThrough
    exec(_as_function(tree, parameters), names)
    return names.pop(MODULE)(**{name: inputs[name] for name in parameters})


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
    function.body = [*tree.body, *ending.body]
    return compile(head, FILE, "exec")


def _unreturned(names: Mapping[str, Any], inputs: Mapping[str, Any], reserved: Mapping[str, Any]) -> Any:
    if "result" in names and not ("result" in inputs and names["result"] is inputs["result"]):
        return names["result"]
    main = names.get("main")
    if not callable(main) or "main" in inputs:
        return None
    answer = _call(main, inputs, reserved)
    if not inspect.isawaitable(answer):
        return answer
    import asyncio

    return asyncio.run(_awaited(answer))


async def _awaited(answer: Any) -> Any:
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
