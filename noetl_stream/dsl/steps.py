"""One step of a document into one step of the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from noetl_stream.core.plan import Count, Expression, Loop, Path, Scope, Step
from noetl_stream.core.values import Value
from noetl_stream.dsl.bindings import compile_bindings
from noetl_stream.dsl.expressions import compile_condition, constant, least
from noetl_stream.dsl.inputs import compile_count, inputs_site
from noetl_stream.dsl.loops import Repetition, claim_of, compile_iterator, compile_loop
from noetl_stream.dsl.normalise import COMMON
from noetl_stream.dsl.pending import STEP as PENDING
from noetl_stream.dsl.pending import warn_pending
from noetl_stream.dsl.pipelines import Setting, block_reads, compile_pipeline
from noetl_stream.dsl.policy import outcome_of
from noetl_stream.dsl.report import Site, suggest
from noetl_stream.dsl.routes import compile_routes
from noetl_stream.dsl.schema import STEP
from noetl_stream.dsl.shapes import Keys
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.tasks import Pipeline
from noetl_stream.dsl.templates import has_template
from noetl_stream.dsl.workbook import Calls, expanded, merged_nodes
from noetl_stream.dsl.world import World
from noetl_stream.dsl.writes import compile_writes, written_names

POOL = "default"
SPECS = ("policy", "effects", "priority", "join", "max_in_flight")
"""Keys of a step's `spec`, where an author may put them on the step."""


def compile_step(name: str, index: int, node: Node, world: World) -> Step:
    """Check and compile a step; problems go to the report."""
    site = world.deciding(name)
    _check_shape(name, node, world)
    warn_pending(node, PENDING, site)
    layers = merged_nodes(world.spec, node.get("spec"))
    written = node.get("tool")
    given = frozenset(node.mapping["input"].mapping) if "input" in node.mapping else frozenset()
    tool = expanded(written, Calls(book=world.book, given=given, site=site)) if written else None
    repeat = _repetition(name, node, tool, layers, world)
    if repeat.loop is not None and repeat.loop.parallel and tool is not None:
        _warn_races(tool, site)
    pipeline = _pipeline(name, node, tool, merged_nodes(layers, repeat.spec), repeat, world)
    loop = _one_by_one(_with_cursor(name, repeat, layers, world), tool, pipeline, site)
    if not (written and (written.items or written.is_mapping)) and not node.get("next"):
        site.report.warn(
            f"{site.subject} has neither `tool` nor `next`", node.place, "write `tool: {kind: noop}`"
        )
    writes = node.get("set")
    admit = layers.get("policy", "admit") if layers else None
    routes = compile_routes(name, node, world)
    step = Step(
        name=name,
        index=index,
        tool=pipeline,
        input=_input(node, pipeline, site),
        loop=loop,
        strict=world.decide(name, routes.strict) if routes.strict else None,
        admit=world.decide(name, compile_admission(admit, site.at("spec.policy.admit")), before=True)
        if admit
        else None,
        writes=world.decide(name, compile_writes(writes, site.at("set"), local=False)) if writes else None,
        arcs=routes.arcs,
        inclusive=routes.inclusive,
        on_no_match=routes.on_no_match,
        join=_join(name, layers, world),
        pool=_pool(tool, merged_nodes(layers, repeat.spec), site, world.pools),
        priority=_priority(tool, merged_nodes(layers, repeat.spec)),
        reads=block_reads(pipeline, tool, world) | _sizes(loop) if pipeline and tool else frozenset(),
    )
    if step.input is not None and step.leaves_by_input:
        world.decide(name, step.input, before=True)
    return step


def _input(node: Node, pipeline: Pipeline | None, site: Site) -> Expression | None:
    """The step's own inputs, for its `set` and arcs too; what holds a secret stays with the block."""
    if pipeline is None:
        return compile_bindings(node.get("input"), site.at("input"))
    return None if pipeline.secret_input else pipeline.input


def _check_shape(name: str, node: Node, world: World) -> None:
    fields = {key for kind in world.kinds.values() if kind.config for key in kind.config.model_fields}
    hint = f"move it under `tool` of step '{name}'"
    tools = (COMMON | fields | {"code", "url", "query", "command", "method"}) - STEP.keys()
    elsewhere = {
        **dict.fromkeys(tools, hint),
        **dict.fromkeys(SPECS, f"move it under `spec` of step '{name}'"),
    }
    Keys(keys=STEP, required=("step",), elsewhere=elsewhere).check(node, world.site(name))


def _warn_races(tool: Node, site: Site) -> None:
    names = sorted(set(written_names(tool, "ctx")))
    if names:
        site.report.warn(
            f"{site.subject}: parallel iterations write ctx.{', ctx.'.join(names)}; the last index wins",
            tool.place,
            "write `iter.…` and read the loop's results",
        )


def _repetition(name: str, node: Node, tool: Node | None, layers: Node | None, world: World) -> Repetition:
    loop = node.get("loop")
    if loop is not None:
        if tool is None:
            world.report.error(
                f"step '{name}' has a loop but no tool to repeat", loop.place, "give it a `tool`"
            )
        return compile_loop(name, loop, layers, world)
    iterator = tool.get("iterator") if tool else None
    return compile_iterator(name, iterator, world) if iterator else Repetition()


def _pipeline(
    name: str, node: Node, tool: Node | None, layers: Node | None, repeat: Repetition, world: World
) -> Pipeline | None:
    if tool is None or (tool.is_list and not tool.items):
        return None
    return compile_pipeline(
        Setting(step=name, node=node, tool=tool, layers=layers, names=repeat.names), world
    )


def _with_cursor(name: str, repeat: Repetition, layers: Node | None, world: World) -> Loop | None:
    """The loop, with the pipeline that claims its rows if it has a cursor."""
    if repeat.cursor is None or repeat.loop is None:
        return repeat.loop
    claim = claim_of(repeat.cursor)
    nothing = Node({}, repeat.cursor.place)
    # A claim is a lease, whatever may happen once in the body: it can be made again.
    layers = layers.without("effects") if layers else None
    pipeline = compile_pipeline(Setting(step=name, node=nothing, tool=claim, layers=layers), world)
    claims = block_reads(pipeline, claim, world) | _sizes(repeat.loop)
    within = repeat.loop.frame.get("max_seconds")
    return replace(
        repeat.loop, cursor=pipeline if within is None else _bounded(pipeline, within), claims=claims
    )


def _bounded(claim: Pipeline, within: Expression) -> Pipeline:
    """A claim whose tasks end in time, or sooner where they have a timeout of their own."""
    return replace(
        claim, tasks=tuple(replace(task, timeout=least(task.timeout, within)) for task in claim.tasks)
    )


def _one_by_one(loop: Loop | None, tool: Node | None, pipeline: Pipeline | None, site: Site) -> Loop | None:
    """The loop, its iterations each alone where the language cannot let them travel together."""
    if loop is None or loop.bundle == 1 or tool is None or pipeline is None:
        return loop
    why = _why_alone(loop, tool, pipeline)
    if why is None:
        return loop
    site.report.warn(
        f"{site.subject}: its iterations travel one by one: {why}", tool.place, "leave `frame.max_rows` out"
    )
    return replace(loop, bundle=1, row_concurrency=1)


def _why_alone(loop: Loop, tool: Node, pipeline: Pipeline) -> str | None:
    """In sequence each may read what the one before wrote; and what is claimed in the log is claimed alone."""
    if any(task.effects == "at_most_once" for task in pipeline.tasks):
        return "each runs at most once"
    names = (f"{scope}.{name}" for scope in ("ctx", "step") for name in written_names(tool, scope))
    written = None if loop.parallel else next(names, None)
    return written and f"each may read `{written}`, which the one before writes"


def _sizes(loop: Loop | None) -> frozenset[Path]:
    """The inputs that a loop's counts read."""
    sizes = (*loop.sizes, *loop.frame.values()) if loop else ()
    return frozenset[Path]().union(*(size.reads for size in sizes))


def compile_admission(node: Node, site: Site) -> Expression:
    """Yields whether a token may enter: the first rule that holds decides; none, and it may."""
    rules = node.get("rules")
    ways = [
        _admission(rule, site.at(f"rules[{index}]"))
        for index, rule in enumerate(rules.items if rules else ())
    ]

    def evaluate(scope: Scope) -> Value:
        return next((allow.evaluate(scope) for when, allow in ways if when.evaluate(scope)), True)

    return Expression(
        evaluate=evaluate,
        reads=frozenset().union(*(each.reads for way in ways for each in way)),
        text=", ".join(when.text for when, _ in ways if when.reads),
    )


def _admission(rule: Node, site: Site) -> tuple[Expression, Expression]:
    """When a rule holds, and whether it admits then."""
    when, allow = rule.get("when"), outcome_of(rule).get("allow")
    return (
        compile_condition(when, site.at("when")) if when else constant(True),
        compile_condition(allow, site.at("allow")) if allow else constant(True),
    )


def _join(name: str, layers: Node | None, world: World) -> Literal["all", "any"] | Count:
    join = layers.get("join") if layers else None
    if join is None:
        return "all"
    if (quorum := join.get("quorum")) is None:
        return "any" if join.text == "any" else "all"
    site = inputs_site(world.document, world.report, f"step '{name}'")
    return compile_count(quorum, site.at("spec.join.quorum"), 1)


def _priority(tool: Node | None, layers: Node | None) -> str | None:
    """The lane of a step's blocks: the first that a task names, else what the layers say."""
    own = (found for task in _tasks(tool) if (found := task.get("spec", "priority")))
    named = next(own, layers.get("priority") if layers else None)
    return None if named is None else str(named.value)


def _tasks(tool: Node | None) -> list[Node]:
    return [] if tool is None else tool.listed


def _pool(tool: Node | None, layers: Node | None, site: Site, pools: frozenset[str] | None) -> str:
    """A worker pool named on the tool, else by the layers. It must be one of `pools`, where they are known."""
    own = (pool for task in _tasks(tool) for pool in (task.get("pool"), task.get("spec", "pool")))
    named = {text: pool for pool in own if pool is not None and (text := pool.text)}
    if len(named) > 1:
        site.report.error(
            f"{site.subject}: a pipeline runs in one pool, not in {', '.join(sorted(named))}",
            next(iter(named.values())).place,
            "split it into steps",
        )
    chosen = next(iter(named.values()), layers.get("pool") if layers else None)
    if chosen is None:
        return POOL
    if has_template(str(chosen.value)):
        site.report.error(f"{site.subject}: a worker pool is named literally", chosen.place)
    elif pools is not None and str(chosen.value) not in pools:
        hint = suggest(str(chosen.value), pools) or "name it in the setting `pools` (NOETL_STREAM_POOLS)"
        site.report.error(f"{site.subject}: there is no worker pool '{chosen.value}'", chosen.place, hint)
    return str(chosen.value)
