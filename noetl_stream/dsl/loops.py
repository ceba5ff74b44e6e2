"""How a step repeats: over a collection or slices of a table, while a condition holds, or as long as a cursor claims rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from noetl_stream.core.names import UNSHADOWABLE, VARIABLES
from noetl_stream.core.plan import Expression, Loop, Scope
from noetl_stream.core.values import Ref, Value
from noetl_stream.dsl.expressions import as_number, compile_condition, compile_number, compile_value
from noetl_stream.dsl.filters import parsed_json
from noetl_stream.dsl.inputs import compile_count, inputs_site
from noetl_stream.dsl.lookup import is_frame
from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.workbook import merged_nodes
from noetl_stream.dsl.world import World
from noetl_stream.errors import ExpressionError

IN_FLIGHT = 16
"""Iterations in flight where nobody says."""
FRAME_SIZE = 10_000
"""Rows of a slice, where nobody says."""
FRAME_ROWS = 1
"""Rows that a cursor claims at once, where nobody says."""
KINDS = ("in", "while", "frames", "cursor")
"""What a loop may go by. It has exactly one of them."""
TOLD = ("max_bytes", "max_seconds", "lease_seconds", "heartbeat_seconds")
"""What else a frame says to its cursor's claim, as `__frame_<key>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """A step's loop: the plan's part, the names it binds, its `spec`; and a cursor's tool, still to be compiled."""

    loop: Loop | None = None
    names: tuple[str, ...] = ()
    spec: Node | None = None
    cursor: Node | None = None


def compile_loop(step: str, node: Node, layers: Node | None, world: World) -> Repetition:
    """A `loop` block: its kind, its bounds, the names it binds."""
    site = world.deciding(step).at("loop")
    name = _item_name(node.get("iterator"), site)
    spec = node.get("spec")
    kinds = [key for key in KINDS if key in node.mapping]
    if len(kinds) != 1:
        said = "goes by one of `in`, `while`, `frames`, `cursor`" if kinds else "needs `in`"
        site.report.error(f"{site.subject}: a loop {said}", node.place, 'write `in: "{{ … }}"`')
        return Repetition(names=(name,), spec=spec)
    layered = merged_nodes(layers, spec)
    limit = _limit(layered, site.at("spec.max_in_flight"), world, step)
    bounded = Loop(
        iterator=name,
        parallel=kinds == ["cursor"] or (_word(layered, "mode") == "parallel" and kinds != ["while"]),
        on_error="continue" if _word(layered, "policy", "on_error") == "continue" else "fail",
        limit=limit if isinstance(limit, int) else IN_FLIGHT,
        bound=None if isinstance(limit, int) else limit,
    )
    loop = replace(bounded, **_goes_by(kinds[0], step, node, layered, site, world))
    return Repetition(loop=loop, names=(name,), spec=spec, cursor=node.get("cursor"))


def _item_name(node: Node | None, site: Site) -> str:
    """What an item is called. A name that always means something else is still read as `iter.<name>`."""
    name = node.text if node and node.text else "item"
    if node is not None and name in (*UNSHADOWABLE, *VARIABLES):
        said = f"{site.subject}: the bare name '{name}' never means the item"
        site.report.warn(said, node.place, f"read `iter.{name}`, or call it otherwise")
    return name


def _goes_by(
    kind: str, step: str, node: Node, layers: Node | None, site: Site, world: World
) -> dict[str, Any]:
    """What tells one kind of loop from another."""
    given, at = node.mapping[kind], _inputs(world, site).at("spec.frame")
    frame = (layers.get("frame") if layers else None) or Node({}, node.place)
    match kind:
        case "while":
            return {"while_": world.decide(step, compile_condition(given, site.at("while")))}
        case "cursor":
            return _claimed(frame, at)
        case "frames":
            rows = compile_count(node.get("rows"), _inputs(world, site).at("rows"), FRAME_SIZE)
            items = world.decide(step, compile_items(given, site.at("frames"), table=True), before=True)
            return {"items": items, "rows": rows, **_together(frame, at)}
        case _:
            items = world.decide(step, compile_items(given, site.at("in")), before=True)
            return {"items": items, **_together(frame, at)}


def _together(frame: Node, site: Site) -> dict[str, Any]:
    """How many iterations travel in a block, and how many of these run at once."""
    return {
        "bundle": compile_count(frame.get("max_rows"), site.at("max_rows"), 1),
        "row_concurrency": compile_count(frame.get("row_concurrency"), site.at("row_concurrency"), 1),
    }


def _claimed(frame: Node, site: Site) -> dict[str, Any]:
    """How a cursor claims: so many rows at once, handed on one by one or together."""
    told = {key: _above_0(node, site.at(key)) for key in TOLD if (node := frame.get(key))}
    if (cut := frame.get("max_bytes")) and _word(frame, "process") != "frame":
        site.report.warn(
            f"{site.subject}: `max_bytes` cuts the frames of a claim, but here each row is handed on by itself",
            cut.place,
            "write `process: frame`",
        )
    return {
        "frame": told,
        "frame_rows": compile_count(frame.get("max_rows"), site.at("max_rows"), FRAME_ROWS),
        "whole_frames": _word(frame, "process") == "frame",
        "row_concurrency": compile_count(frame.get("row_concurrency"), site.at("row_concurrency"), 1),
    }


def _above_0(node: Node, site: Site) -> Expression:
    number = as_number(node.value)
    if number is not None and number <= 0:
        site.report.error(f"{site.what} is above 0", node.place)
    return compile_number(node, site)


def _inputs(world: World, site: Site) -> Site:
    """A loop's place, where inputs alone are known."""
    return inputs_site(world.document, world.report, site.subject).at(site.key)


def claim_of(cursor: Node) -> Node:
    """The tool that claims a cursor's next rows: its kind, credential and options, with the claim as its query."""
    given = cursor.without("claim", "options")
    options, claim = cursor.get("options"), cursor.mapping.get("claim", Node("", cursor.place))
    entries = {**(options.mapping if options else {}), **given.mapping, "query": claim}
    keys = {**(options.keys if options else {}), **given.keys, "query": cursor.key_place("claim")}
    return Node(entries, cursor.place, keys)


def compile_iterator(step: str, node: Node, world: World, inside: Site | None = None) -> Repetition:
    """A tool's own `iterator`: a sequential loop whose item has two names; `inside` a block if a site is given there."""
    site = (inside or world.deciding(step)).at("iterator")
    name = _item_name(node.get("item"), site)
    items = compile_items(node.mapping.get("items", Node(None, node.place)), site.at("items"))
    loop = Loop(items=items if inside else world.decide(step, items, before=True), iterator=name)
    return Repetition(loop=loop, names=tuple(dict.fromkeys((name, "item"))))


def compile_items(node: Node, site: Site, *, table: bool = False) -> Expression:
    """The collection: yields a list, an integer n for 0..n-1, or a reference to a table. JSON text is what it says.

    Where a `table` is wanted, the result of an SQL tool means its `rows`.
    """
    compiled = compile_value(node, site, strict=True)
    evaluate, place = compiled.evaluate, site.describe(node.place)

    def items(scope: Scope) -> Value:
        found = evaluate(scope)
        if table and isinstance(found, Mapping) and "rows" in found:
            found = found["rows"]
        return _collection(found, compiled.text, place)

    return Expression(evaluate=items, reads=compiled.reads, passes=compiled.passes, text=compiled.text)


def _collection(value: Value, text: str, place: str) -> Value:
    if isinstance(value, str):
        try:
            value = parsed_json(value)
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
