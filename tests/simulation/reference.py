"""What a plan should come to: a naive interpreter, one step at a time, always the earliest that waits.

Conditions read nothing that runs beside them, so this order yields what every order must yield.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any

from noetl_stream.core.counts import count_of
from noetl_stream.core.plan import Arc, Loop, Plan, Step
from noetl_stream.core.values import Value
from tests.simulation.asking import truth
from tests.simulation.scripts import Script, left_behind, value, writes
from tests.simulation.sketches import CLOCK


@dataclass(slots=True)
class Expected:
    """`certain` is False where a failure leaves to chance what else still ran, `timed` True where a clock decides."""

    status: str = "COMPLETED"
    results: dict[str, Value] = field(default_factory=dict)
    ctx: dict[str, Value] = field(default_factory=dict)
    certain: bool = True
    timed: bool = False


class Interpreter:
    """Runs one plan. `children` are the expectations of the plans it may start, by path and x."""

    def __init__(self, plans: Mapping[str, Plan], path: str, x: int) -> None:
        self.plans, self.plan, self.x = plans, plans[path], x
        self.out = Expected()
        self.epochs: defaultdict[str, int] = defaultdict(int)
        self.waiting: defaultdict[int, list[str]] = defaultdict(list)

    def run(self) -> Expected:
        self.out.timed = self.plan.deadline is not None
        names = sorted(self.plan.steps, key=lambda name: self.plan.steps[name].index)
        self.waiting[self.plan.steps[self.plan.entry].index].append("")
        while self.waiting:
            index = min(self.waiting)
            step, tokens = self.plan.steps[names[index]], self.waiting.pop(index)
            joined = len(self.plan.upstream[step.name]) > 1
            for _ in tokens[:1] if joined else tokens:
                self.enter(step)
        return self.out

    def enter(self, step: Step) -> None:
        if self.out.status == "FAILED":
            return
        epoch = self.epochs[step.name]
        self.epochs[step.name] += 1
        if step.admit is not None and not step.admit.evaluate(self.scope()):
            self.out.results.pop(step.name, None)
            return
        failed = self.loop(step, epoch) if step.loop is not None else self.once(step, epoch)
        self.leave(step, failed)

    def scope(self) -> dict[str, Any]:
        return {"ctx": self.out.ctx, "workload": {"x": self.x}}

    def once(self, step: Step, epoch: int) -> bool:
        script: Script | None = step.tool
        if script is None:
            self.out.results.pop(step.name, None)
            return False
        ok, result = self.block(script, step.name, epoch, 0, None, 0)
        self.out.results[step.name] = result
        if not ok and result is None:
            del self.out.results[step.name]
        if ok:
            self.write(writes(script, step.name, epoch))
        return not ok

    def block(
        self, script: Script, step: str, epoch: int, iteration: int, item: Value, before: int
    ) -> tuple[bool, Value]:
        """Whether it went well, and its result; `before` are the iterations that counted before it."""
        if iteration in script.fatal:
            return False, None
        answer, block = None, f"{step}/{epoch}/{iteration}"
        if script.kind == "child" and script.wait:
            child = Interpreter(self.plans, script.child, self.x).run()
            self.out.timed |= child.timed or script.timeout is not None
            if child.status != "COMPLETED":
                return False, None
            answer = child.results.get("last")
        if script.kind == "ask":
            answer = truth(block)
        seen = self.out.results.get(script.upstream) if script.upstream is not None else None
        return True, value(
            script,
            block,
            item=item,
            x=self.x,
            seen=seen,
            left=left_behind(script),
            answer=answer,
            before=before if script.counts else 0,
        )

    def iterations(self, step: Step, epoch: int, items: list[Value]) -> list[tuple[bool, Value]]:
        """One after the other; a parallel one sees nothing of what the others write."""
        ended = list[tuple[bool, Value]]()
        for i, item in enumerate(items):
            parallel = step.loop is not None and step.loop.parallel
            before = 0 if parallel else sum(ok for ok, _ in ended)
            ended.append(self.block(step.tool, step.name, epoch, i, item, before))
        return ended

    def loop(self, step: Step, epoch: int) -> bool:
        assert step.loop is not None
        items, script = _items(step.loop), step.tool
        ended = self.iterations(step, epoch, items)
        failed = sum(not ok for ok, _ in ended)
        results = [result if ok else _failed(script, i) for i, (ok, result) in enumerate(ended)]
        stats = {"total": len(items), "success": len(items) - failed, "failed": failed}
        self.out.results[step.name] = {
            "results": results,
            "data": results,
            "stats": stats,
            "count": len(items),
            "status": "partial" if failed else "ok",
        }
        broken = failed > 0 and step.loop.on_error == "fail"
        self.out.certain &= not broken
        if any(ok for ok, _ in ended):
            self.write(writes(script, step.name, epoch))
        return broken

    def leave(self, step: Step, failed: bool) -> None:
        if step.writes is not None and not failed:
            self.write(step.writes.evaluate(self.scope()))
        arcs = [arc for arc in step.arcs if (arc.on == "error") == failed and self.matches(arc)]
        for arc in arcs if step.inclusive else arcs[:1]:
            self.waiting[self.plan.steps[arc.target].index].append(step.name)
        unmatched = not failed and step.arcs and step.on_no_match == "fail"
        if not arcs and (failed or unmatched):
            self.out.status, self.out.certain = "FAILED", False

    def matches(self, arc: Arc) -> bool:
        if arc.when is not None and CLOCK in arc.when.reads:
            self.out.timed = True
            return False
        return arc.when is None or bool(arc.when.evaluate(self.scope()))

    def write(self, found: Mapping[str, Value]) -> None:
        self.out.ctx |= {name.removeprefix("ctx."): v for name, v in found.items()}


def _items(loop: Loop) -> list[Value]:
    """What the iterations are about."""
    if loop.while_ is not None:
        goes_on = loop.while_.evaluate
        return [None for _ in takewhile(lambda n: goes_on({"loop_index": n}), count())]
    if loop.items is None:
        return _slices(list(range(loop.cursor)), count_of(loop.frame_rows, {}) if loop.whole_frames else None)
    found = loop.items.evaluate({})
    return _slices(
        list(range(found)) if isinstance(found, int) else found,
        count_of(loop.rows, {}) if loop.rows else None,
    )


def _slices(items: list[Value], rows: int | None) -> list[Value]:
    return items if rows is None else [items[at : at + rows] for at in range(0, len(items), rows)]


def _failed(script: Script, iteration: int) -> Value:
    kind, message = (
        ("python", "no") if iteration in script.fatal else ("playbook", "the child did not complete")
    )
    return {"status": "error", "error": {"kind": kind, "message": message}, "data": None}
