"""How a step repeats: the collection, its bounds, and the loops this version knows but cannot run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from noetl_stream.core.plan import Expression, Loop, Scope
from noetl_stream.core.values import Ref, Value
from noetl_stream.dsl.expressions import as_number, compile_number, compile_value
from noetl_stream.dsl.lookup import is_frame
from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.tasks import Fault
from noetl_stream.dsl.workbook import merged_nodes
from noetl_stream.dsl.world import World
from noetl_stream.errors import ExpressionError

IN_FLIGHT = 16
"""Iterations in flight where nobody says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """A step's loop as far as it can run: the plan's part, the names it binds, its `spec`, or why it cannot run."""

    loop: Loop | None = None
    names: tuple[str, ...] = ()
    spec: Node | None = None
    fault: Fault | None = None


def compile_loop(step: str, node: Node, layers: Node | None, world: World) -> Repetition:
    """A `loop` block. A cursor, `while` or `frames` is checked, and fails when reached."""
    site = world.deciding(step).at("loop")
    iterator = node.get("iterator")
    name = iterator.text if iterator and iterator.text else "item"
    spec = node.get("spec")
    for key in ("cursor", "while", "frames"):
        if (found := node.get(key)) is not None:
            return Repetition(names=(name,), spec=spec, fault=_unsupported(key, found, site))
    collection = node.mapping.get("in")
    if collection is None:
        site.report.error(f"{site.subject}: a loop needs `in`", node.place, 'write `in: "{{ … }}"`')
        return Repetition(names=(name,), spec=spec)
    layered = merged_nodes(layers, spec)
    limit = _limit(layered, site.at("spec.max_in_flight"), world, step)
    loop = Loop(
        items=world.decide(step, compile_items(collection, site.at("in")), before=True),
        iterator=name,
        parallel=_word(layered, "mode") == "parallel",
        on_error="continue" if _word(layered, "policy", "on_error") == "continue" else "fail",
        limit=limit if isinstance(limit, int) else IN_FLIGHT,
        bound=None if isinstance(limit, int) else limit,
    )
    return Repetition(loop=loop, names=(name,), spec=spec)


def compile_iterator(step: str, node: Node, world: World) -> Repetition:
    """A tool's own `iterator`: a sequential loop whose item has two names."""
    site = world.deciding(step).at("iterator")
    item = node.get("item")
    name = item.text if item and item.text else "item"
    items = node.mapping.get("items", Node(None, node.place))
    loop = Loop(items=world.decide(step, compile_items(items, site.at("items")), before=True), iterator=name)
    return Repetition(loop=loop, names=tuple(dict.fromkeys((name, "item"))))


def compile_items(node: Node, site: Site) -> Expression:
    """The collection: yields a list, an integer n for 0..n-1, or a reference to a table."""
    compiled = compile_value(node, site, strict=True)
    evaluate, place = compiled.evaluate, site.describe(node.place)

    def items(scope: Scope) -> Value:
        return _collection(evaluate(scope), compiled.text, place)

    return Expression(evaluate=items, reads=compiled.reads, passes=compiled.passes, text=compiled.text)


def _collection(value: Value, text: str, place: str) -> Value:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ExpressionError(
                "a loop goes over a list; this text is no JSON", text=text, place=place
            ) from None
    match value:
        case bool():
            pass
        case list() | Ref():
            return value
        case int():
            return max(value, 0)
        case Mapping():
            return [{"key": key, "value": each} for key, each in value.items()]
        case _ if is_frame(value):
            return value
    found = "null" if value is None else f"a {type(value).__name__}"
    raise ExpressionError(
        f"a loop goes over a list, a mapping or a number, not {found}", text=text, place=place
    )


def _limit(layers: Node | None, site: Site, world: World, step: str) -> int | Expression:
    found = layers.get("max_in_flight") if layers else None
    if found is None:
        return IN_FLIGHT
    number = as_number(found.value)
    if number is not None:
        if number < 1:
            site.report.error(f"{site.subject}: `max_in_flight` is at least 1", found.place)
        return max(int(number), 1)
    return world.decide(step, compile_number(found, site), before=True)


def _word(node: Node | None, *path: str) -> str | None:
    found = node.get(*path) if node else None
    return found.text if found else None


def _unsupported(key: str, node: Node, site: Site) -> Fault:
    message = f"`loop.{key}` is not supported yet in this version"
    site.report.warn(f"{site.subject}: {message}", node.place, "the step will fail if it is reached")
    return Fault(kind="validation", message=f"{message} (step at {node.place}); use `loop.in`")
