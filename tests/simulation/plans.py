"""Random plans: chains, choices, forks with joins, cycles, loops, errors and children, built part by part.

Every part has one entry and one exit, so that parts nest; a plan without cycles also gets arcs that jump ahead. What a
condition reads was written by the step that asks, or is an input: the outcome does not depend on who came first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from noetl_stream.core.plan import Arc, Expression, Loop, Plan
from tests.simulation.scripts import Kind, Script
from tests.simulation.sketches import Sketch, assemble, below, by, by_clock, constant, differs, of


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part is entered and left."""

    entry: str
    exit: str


def plans(rng: Random, *, wide: bool = False, once: bool = False) -> dict[str, Plan]:
    """A random plan and those of the children it may start; `wide` is one parallel loop, for the workers' sake, `once`
    has effects that may happen once."""
    builder = Builder(rng, None if wide or once else "child")
    main = builder.once if once else builder.wide if wide else builder.plan
    found = {"main": main("main")}
    found["child"] = draw(rng, "child", child="grandchild", depth=1)
    found["grandchild"] = draw(rng, "grandchild", child=None, depth=0)
    return found


def draw(rng: Random, path: str, *, child: str | None, depth: int = 2) -> Plan:
    return Builder(rng, child).plan(path, depth)


class Builder:
    """Names steps in document order, so that an arc to an earlier one goes back."""

    def __init__(self, rng: Random, child: str | None) -> None:
        self.rng, self.child = rng, child
        self.steps: dict[str, Sketch] = {}
        self.cyclic = False

    def plan(self, path: str, depth: int = 2) -> Plan:
        part = self.sequence(depth, most=2)
        last = self.step("last", Script(kept=self.rng.random() < 0.2))
        self.link(part.exit, last.name)
        if not self.cyclic:
            self.jump_ahead()
            self.hurry()
        return assemble(path, part.entry, self.steps.values(), **self.document())

    def document(self) -> dict[str, Any]:
        """What a playbook may say beside its steps: where its result stands, what runs when it fails, how long it has."""
        rng, more = self.rng, dict[str, Any]()
        if rng.random() < 0.3:
            more["final"] = rng.choice(list(self.steps))
        if rng.random() < 0.03:
            more["deadline"] = rng.choice((30.0, constant(30.0)))
        if rng.random() < 0.3:
            script = Script(fatal=frozenset({0}) if rng.random() < 0.3 else frozenset())
            more["on_failure"] = self.step("salvage", script).name
        return more

    def once(self, path: str) -> Plan:
        """A payment, with somebody to look after one that failed, then several side by side."""
        rng = self.rng
        kind: Kind = rng.choice(("plain", "long", "nap"))
        pays = self.step(
            None, Script(once=True, kind=kind, fatal=frozenset({0} if rng.random() < 0.1 else ()))
        )
        each = self.step(None, Script(once=True, kind=rng.choice(("plain", "long"))))
        each.loop = Loop(items=constant(3), limit=2, iterator="it", parallel=True, on_error="continue")
        if rng.random() < 0.5:
            pays.arcs.append(Arc(target=each.name, on="error"))
        self.link(pays.name, each.name)
        self.link(each.name, self.step("last", Script()).name)
        return assemble(path, pays.name, self.steps.values())

    def wide(self, path: str) -> Plan:
        loop = self.step(None, Script(fails=self.rng.randrange(2), writes=True))
        loop.loop = Loop(items=constant(6), iterator="it", limit=4, parallel=True)
        self.link(loop.name, self.step("last", Script()).name)
        return assemble(path, loop.name, self.steps.values())

    def sequence(self, depth: int, most: int) -> Part:
        parts = [self.part(depth) for _ in range(self.rng.randint(1, most))]
        for before, after in pairwise(parts):
            self.link(before.exit, after.entry)
        return Part(parts[0].entry, parts[-1].exit)

    def part(self, depth: int) -> Part:
        if depth == 0 or self.rng.random() < 0.4:
            return self.task()
        kinds = (self.choice, self.fork, self.fork, self.cycle)
        return self.rng.choice(kinds)(depth - 1)

    def link(self, source: str, target: str) -> None:
        """An unconditional arc, after whatever stands there already."""
        self.steps[source].arcs.append(Arc(target=target))

    def step(self, name: str | None, script: Script | None) -> Sketch:
        sketch = Sketch(name or f"s{len(self.steps)}", script)
        self.steps[sketch.name] = sketch
        return sketch

    def task(self) -> Part:
        """One step with some tool, sometimes with a handler for its failure."""
        sketch = self.step(None, self.script())
        if self.rng.random() < 0.35:
            self.repeat(sketch)
        sketch.looks = frozenset(side for side in ("in", "out") if self.rng.random() < 0.35)
        if self.rng.random() < 0.05:
            sketch.admit = of("workload", "x", lambda x: x % 2 == 0)
        if self.rng.random() < 0.15:
            return self.handled(sketch)
        return Part(sketch.name, sketch.name)

    def script(self) -> Script:
        rng = self.rng
        kinds: tuple[Kind, ...] = ("plain", "plain", "plain", "long", "nap", "rounds")
        kind: Kind = rng.choice((*kinds, "child") if self.child else kinds)
        return Script(
            kind=kind,
            fails=rng.choice((0, 0, 0, 1, 2)),
            fatal=frozenset({0}) if rng.random() < 0.04 else frozenset(),
            child=self.child or "",
            wait=rng.random() < 0.8,
            timeout=4.0 if kind == "child" and rng.random() < 0.1 else None,
            writes=rng.random() < 0.5,
            salt=rng.randrange(2),
            kept=rng.random() < 0.3,
            piped=rng.random() < 0.1,
            counts=rng.random() < 0.2,
        )

    def repeat(self, sketch: Sketch) -> None:
        """Make a step a loop of some kind."""
        rng, script = self.rng, sketch.script
        assert script is not None
        loop = sketch.loop = rng.choice((self.over, self.over, self.slices, self.during, self.claiming))()
        can_break = loop.cursor is None  # which row comes to which iteration is chance
        fatal = frozenset({rng.randrange(4)}) if can_break and rng.random() < 0.2 else frozenset[int]()
        kind: Kind = "plain" if script.kind == "child" and rng.random() < 0.7 else script.kind
        large = kind == "plain" and rng.random() < 0.1
        sketch.script = Script(
            kind=kind,
            fails=script.fails % 2,
            fatal=fatal,
            child=script.child,
            writes=script.writes,
            large=large,
            kept=script.kept,
            counts=script.counts,
        )

    def over(self) -> Loop:
        """A list, a count, or nothing."""
        items = self.rng.choice((["a", "b", "c", "d"], 5, 3, ["only"], []))
        return Loop(items=constant(items), **self.bounds(parallel=self.rng.random() < 0.6))

    def slices(self) -> Loop:
        """A list, so many of it at a time."""
        items, rows = constant(list("abcde")), self.rng.randint(1, 3)
        return Loop(items=items, rows=rows, **self.bounds(parallel=self.rng.random() < 0.5))

    def during(self) -> Loop:
        """As long as a condition holds."""
        return Loop(while_=below(self.rng.randrange(5)), **self.bounds(parallel=False))

    def claiming(self) -> Loop:
        """A cursor: several claims in flight, rows by themselves or together."""
        rng = self.rng
        return Loop(
            cursor=rng.randrange(8),
            frame_rows=rng.randint(1, 3),
            whole_frames=rng.random() < 0.3,
            row_concurrency=rng.randint(1, 2),
            **self.bounds(parallel=True),
        )

    def bounds(self, *, parallel: bool) -> dict[str, Any]:
        """How much at once, and what a failure is to the loop."""
        rng = self.rng
        limit = rng.randint(1, 3) if parallel else 1
        return {
            "iterator": "it",
            "limit": limit,
            "bound": constant(limit) if rng.random() < 0.3 else None,
            "parallel": parallel,
            "on_error": rng.choice(("fail", "continue", "continue")),
        }

    def handled(self, sketch: Sketch) -> Part:
        """A step that may fail for good, its handler, and where both go on."""
        script = sketch.script
        assert script is not None
        if self.rng.random() < 0.6:
            sketch.script = Script(
                kind=script.kind, fails=script.fails, fatal=frozenset({0}), child=script.child
            )
        handler, after = self.step(None, Script()), self.step(None, None)
        sketch.arcs = [Arc(target=handler.name, on="error"), Arc(target=after.name)]
        self.link(handler.name, after.name)
        return Part(sketch.name, after.name)

    def choice(self, depth: int) -> Part:
        """Exclusive, by what the step itself wrote or by an input; sometimes nothing matches."""
        rng = self.rng
        asks = self.step(None, Script(writes=True, salt=rng.randrange(2)))
        arms = [self.sequence(depth, 2) for _ in range(rng.randint(2, 3))]
        after = self.step(None, rng.choice((None, Script())))
        asked = rng.choice((by("ctx", asks.name), by("ctx", asks.name), by("workload", "x"), by_clock))
        for number, arm in enumerate(arms):
            is_last = number == len(arms) - 1 and rng.random() < 0.9
            when = None if is_last else asked(number)
            asks.arcs.append(Arc(target=arm.entry, when=when))
            self.link(arm.exit, after.name)
        asks.strict = rng.random() < 0.3
        return Part(asks.name, after.name)

    def fork(self, depth: int) -> Part:
        """Inclusive: all arcs that match, and a join."""
        rng = self.rng
        splits = self.step(None, rng.choice((None, Script())))
        splits.inclusive = True
        arms = [self.sequence(depth, 2) for _ in range(rng.randint(2, 3))]
        joins = self.step(None, rng.choice((None, Script())))
        for number, arm in enumerate(arms):
            when = of("workload", "x", differs(number)) if rng.random() < 0.2 else None
            splits.arcs.append(Arc(target=arm.entry, when=when))
            self.link(arm.exit, joins.name)
        if rng.random() < 0.3:
            self.link(splits.name, joins.name)
        return Part(splits.name, joins.name)

    def cycle(self, depth: int) -> Part:
        """A body that is run again while a counter of its own is low."""
        self.cyclic = True
        body = self.sequence(depth, 2)
        turns = self.step(None, self.rng.choice((None, Script())))
        self.link(body.exit, turns.name)
        counter, rounds = f"n_{turns.name}", self.rng.randint(2, 3)
        turns.writes = Expression(
            evaluate=lambda scope: {f"ctx.{counter}": (scope["ctx"].get(counter) or 0) + 1},
            reads=frozenset({("ctx", counter)}),
        )
        turns.arcs.append(Arc(target=body.entry, when=of("ctx", counter, lambda n: n < rounds)))
        return Part(body.entry, turns.name)

    def hurry(self) -> None:
        """Some joins wait for the first token, or the second, not for all that may come."""
        for sketch in self.steps.values():
            if self.rng.random() < 0.2:
                sketch.join = self.rng.choice(("any", 2))

    def jump_ahead(self) -> None:
        """Arcs from forks to any later step: joins of several levels, reached by ways of different length."""
        names = list(self.steps)
        for at, name in enumerate(names[:-1]):
            if self.steps[name].inclusive and self.rng.random() < 0.4:
                target = self.rng.choice(names[at + 1 :])
                if all(arc.target != target for arc in self.steps[name].arcs):
                    self.link(name, target)
