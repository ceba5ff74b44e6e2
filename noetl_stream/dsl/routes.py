"""The ways out of a step: `next` in its long and short forms, and `on_error`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from noetl_stream.core.plan import Arc, Expression
from noetl_stream.dsl.expressions import compile_condition, compile_value
from noetl_stream.dsl.report import Site, suggest
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import has_template, truth
from noetl_stream.dsl.world import World
from noetl_stream.dsl.writes import compile_writes, written_names

NoMatch = Literal["complete", "quiet", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """A step's arcs in order, and how they are chosen."""

    arcs: tuple[Arc, ...] = ()
    inclusive: bool = False
    on_no_match: NoMatch = "complete"
    strict: Expression | None = None


def compile_routes(step: str, node: Node, world: World) -> Routes:
    """All arcs of a step; a target that is no step is an error."""
    site = world.deciding(step).knowing(_set_here(node))
    route = node.get("next")
    written = _arc_nodes(route) if route else []
    arcs = [
        arc
        for index, each in enumerate(written)
        if (arc := _arc(step, each, world, site.at(f"next[{index}]")))
    ]
    handler = node.get("on_error")
    if handler is not None and (arc := _arc(step, handler, world, site.at("on_error"), on="error")):
        arcs.append(arc)
    inclusive = _is_inclusive(route, written)
    if not inclusive:
        _warn_unreachable(written, site)
    no_match = route.get("spec", "on_no_match") if route else None
    word = no_match.text if no_match else None
    said = (cast(NoMatch, word), None) if word in ("complete", "quiet", "fail") else _otherwise(world, site)
    return Routes(arcs=tuple(arcs), inclusive=inclusive, on_no_match=said[0], strict=said[1])


def _set_here(node: Node) -> frozenset[str]:
    """The names without a scope that the step's own `set` and those of its arcs write."""
    return frozenset(written_names(node.without("tool"), None))


def _otherwise(world: World, site: Site) -> tuple[NoMatch, Expression | None]:
    """What no match means where a step does not say; an expression where the executor has a template."""
    strict = world.spec.get("no_next_is_error") if world.spec else None
    if strict is not None and has_template(strict.text or ""):
        return "complete", compile_condition(strict, site.at("no_next_is_error"))
    return "fail" if strict is not None and truth(strict.value) else "complete", None


def _arc_nodes(route: Node) -> list[Node]:
    """The arcs as mappings, whatever the form."""
    listed = route.items or (route.mapping["arcs"].items if "arcs" in route.mapping else [])
    if not (route.is_list or route.is_mapping):
        listed = [route]
    return [
        each if each.is_mapping else Node({"step": each}, each.place) for each in listed if not each.is_list
    ]


def _is_inclusive(route: Node | None, arcs: list[Node]) -> bool:
    """Said by `mode`; a short list without any condition can only mean all of its steps."""
    mode = route.get("spec", "mode") if route else None
    if mode is not None:
        return mode.text == "inclusive"
    return bool(route and route.is_list and not any("when" in a.mapping or "on" in a.mapping for a in arcs))


def _arc(
    step: str, node: Node, world: World, site: Site, *, on: Literal["error"] | None = None
) -> Arc | None:
    target, when, writes, args = (node.get(key) for key in ("step", "when", "set", "args"))
    if target is None:
        return None
    if str(target.value) not in world.steps:
        hint = suggest(str(target.value), world.steps)
        site.report.error(f"{site.subject}: arc to '{target.value}', which is no step", target.place, hint)
        return None
    condition = compile_condition(when, site.at("when")) if when else None
    if condition:
        world.decide(step, condition)
    marked = node.get("on")
    return Arc(
        target=str(target.value),
        when=condition,
        on="error" if on or (marked and marked.text == "error") else None,
        reads_event=bool(condition and any(path[0] == "event" for path in condition.reads)),
        writes=world.decide(step, compile_writes(writes, site.at("set"), local=False)) if writes else None,
        args=world.decide(step, compile_value(args, site.at("args"), strict=True)) if args else None,
    )


def _warn_unreachable(arcs: list[Node], site: Site) -> None:
    for index, each in enumerate(arcs[:-1]):
        if not ("when" in each.mapping or "on" in each.mapping):
            late = arcs[index + 1]
            if "on" not in late.mapping:
                site.report.warn(
                    f"{site.subject}: an arc without `when` stands before this one, which is never taken",
                    late.place,
                    "give the earlier arc a `when`, or write `mode: inclusive`",
                )
            return
