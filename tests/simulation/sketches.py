"""Plans by hand: steps as they are sketched, the conditions they ask, and how they become a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from noetl_stream.core.plan import Arc, Expression, Loop, Plan, Step
from tests.simulation.scripts import Script

CLOCK = ("now",)


@dataclass(slots=True)
class Sketch:
    """A step before its arcs are known."""

    name: str
    script: Script | None
    arcs: list[Arc] = field(default_factory=list)
    loop: Loop | None = None
    writes: Expression | None = None
    admit: Expression | None = None
    inclusive: bool = False
    strict: bool = False


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


def assemble(path: str, entry: str, sketches: Iterable[Sketch]) -> Plan:
    found = list(sketches)
    sources = {s.name: [o.name for o in found if any(a.target == s.name for a in o.arcs)] for s in found}
    steps = {s.name: _step(index, s, sources[s.name]) for index, s in enumerate(found)}
    workload = Expression(
        evaluate=lambda scope: {"x": 0, **(scope["payload"] or {})}, reads=frozenset({("payload",)})
    )
    return Plan(path=path, version=1, digest="", entry=entry, steps=steps, workload=workload)


def _step(index: int, sketch: Sketch, sources: list[str]) -> Step:
    script, reads = sketch.script, {("workload", "x")}
    if script is not None and len(sources) == 1:
        script = replace(script, upstream=sources[0])
        reads.add((sources[0], "by"))
    return Step(
        name=sketch.name,
        index=index,
        tool=script,
        loop=sketch.loop,
        admit=sketch.admit,
        writes=sketch.writes,
        arcs=tuple(sketch.arcs),
        inclusive=sketch.inclusive,
        on_no_match="fail" if sketch.strict else "complete",
        reads=frozenset(reads),
    )
