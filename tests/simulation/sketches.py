"""Plans by hand: steps as they are sketched, the conditions they ask, and how they become a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from noetl_stream.core.plan import Arc, Expression, Loop, Plan, Step
from noetl_stream.core.values import NeedsPayload, Ref, Result
from tests.simulation.scripts import Script

CLOCK = ("now",)


@dataclass(slots=True)
class Sketch:
    """A step before its arcs are known.

    `looks` are what also reads the result of the only step before it (`in`) or its own (`out`): behind a reference,
    a worker must tell.
    """

    name: str
    script: Script | None
    arcs: list[Arc] = field(default_factory=list)
    loop: Loop | None = None
    writes: Expression | None = None
    admit: Expression | None = None
    inclusive: bool = False
    strict: bool = False
    join: Literal["all", "any"] | int = "all"
    looks: frozenset[Literal["in", "out"]] = frozenset()


def of(root: str, key: str, test: Callable[[Any], bool]) -> Expression:
    """A condition on one key of ctx or workload."""
    return Expression(evaluate=lambda scope: test(scope[root].get(key)), reads=frozenset({(root, key)}))


def by(root: str, key: str) -> Callable[[int], Expression]:
    """Chooses an arm by its number and a value."""
    return lambda number: of(root, key, lambda found: found % 3 == number)


def by_clock(number: int) -> Expression:
    """Chooses an arm by the decision's own moment: two decisions on one state choose differently."""
    return Expression(evaluate=lambda s: int(s["now"]().timestamp()) % 2 == number, reads=frozenset({CLOCK}))


def differs(number: int) -> Callable[[int], bool]:
    return lambda found: found != number


def constant(value: object) -> Expression:
    return Expression(evaluate=lambda _: value)


def below(rounds: int) -> Expression:
    """A loop's condition: so many iterations."""
    return Expression(evaluate=lambda scope: scope["loop_index"] < rounds, reads=frozenset({("loop_index",)}))


def looking(source: str, expression: Expression) -> Expression:
    """An expression that also looks into a result."""

    def evaluate(scope: Mapping[str, Any]) -> Any:
        found = scope.get(source)
        if isinstance(found, Result) and isinstance(found.value, Ref):
            raise NeedsPayload(source)
        return expression.evaluate(scope)

    return Expression(evaluate=evaluate, reads=expression.reads | {(source,)})


def assemble(path: str, entry: str, sketches: Iterable[Sketch], **more: Any) -> Plan:
    """A plan; `more` are fields of its own."""
    found = list(sketches)
    sources = {s.name: [o.name for o in found if any(a.target == s.name for a in o.arcs)] for s in found}
    steps = {s.name: _step(index, s, sources[s.name]) for index, s in enumerate(found)}
    workload = Expression(
        evaluate=lambda scope: {"x": 0, **(scope["payload"] or {})}, reads=frozenset({("payload",)})
    )
    return Plan(path=path, version=1, digest="", entry=entry, steps=steps, workload=workload, **more)


def _step(index: int, sketch: Sketch, sources: list[str]) -> Step:
    script, reads = sketch.script, {("workload", "x")}
    if script is not None and len(sources) == 1:
        script = replace(script, upstream=sources[0])
        reads.add((sources[0], "by"))
    before = sources[0] if len(sources) == 1 else None
    admit, loop = sketch.admit, sketch.loop
    if "in" in sketch.looks and before is not None:
        admit = looking(before, admit or constant(True))
        loop = loop and _looking_loop(before, loop)
    if "out" in sketch.looks:
        loop = loop and _looking_condition(sketch.name, loop)
    return Step(
        name=sketch.name,
        index=index,
        tool=script,
        loop=loop,
        admit=admit,
        writes=sketch.writes,
        arcs=tuple(_arc(sketch, arc) for arc in sketch.arcs),
        inclusive=sketch.inclusive,
        join=sketch.join,
        on_no_match="fail" if sketch.strict else "complete",
        reads=frozenset(reads),
    )


def _arc(sketch: Sketch, arc: Arc) -> Arc:
    return (
        replace(arc, when=looking(sketch.name, arc.when or constant(True))) if "out" in sketch.looks else arc
    )


def _looking_loop(source: str, loop: Loop) -> Loop:
    bound = looking(source, loop.bound or constant(loop.limit))
    return replace(loop, bound=bound, items=loop.items and looking(source, loop.items))


def _looking_condition(own: str, loop: Loop) -> Loop:
    return replace(loop, while_=loop.while_ and looking(own, loop.while_))
