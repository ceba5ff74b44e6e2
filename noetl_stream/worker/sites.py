"""The scopes of a block: from an offer's values to what its templates may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from noetl_stream.core.counts import count_of, number_of
from noetl_stream.core.entering import Beginning, beginning
from noetl_stream.core.events import CredentialUse, StepFinished
from noetl_stream.core.finishing import concluded, routed
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Expression, Plan, Step
from noetl_stream.core.scope import EventName, Facts, evaluate, names
from noetl_stream.core.sites import Ending, passing
from noetl_stream.core.tokens import issue
from noetl_stream.core.values import Envelope, Error, Result, Value
from noetl_stream.worker.masking import Mask


def facts(plan: Plan, offer: Offer, site: str) -> Facts:
    """What the offer brought of its execution."""
    return Facts(
        execution=offer.execution,
        path=plan.path,
        version=plan.version,
        seed=offer.seed,
        at=offer.at,
        site=f"{offer.block}/{offer.attempt}/{offer.segment}/{site}",
        workload=offer.workload,
        ctx=offer.ctx,
        results=offer.results,
        steps=offer.steps,
        via=offer.via,
        error=offer.error,
        spec=plan.metadata.get("spec"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One item of a task's own loop, by its names."""

    names: tuple[str, ...]
    item: Value
    index: int
    total: int


@dataclass(slots=True)
class Desk:
    """A pipeline's own values while it runs: task results and names, variables by scope, the last envelope.

    `ctx`, `iter` and `step` hold what this block wrote; `ctx` starts empty and lies over the execution's. `round` is
    where a task's own loop stands while it runs. `token` answers what parks here. `keychain` are the credentials that a
    task was given, `mask` takes the secrets among them out of what is written, `uses` are all that were resolved, in
    order.
    """

    plan: Plan
    offer: Offer
    input: Mapping[str, Value] = field(default_factory=dict)
    tasks: dict[str, Value] = field(default_factory=dict)
    local: dict[str, Value] = field(default_factory=dict)
    ctx: dict[str, Value] = field(default_factory=dict)
    iter: dict[str, Value] = field(default_factory=dict)
    step: dict[str, Value] = field(default_factory=dict)
    round: Round | None = None
    previous: Envelope | None = None
    keychain: Mapping[str, Any] = field(default_factory=dict, repr=False)
    mask: Mask = field(default_factory=Mask, repr=False)
    uses: dict[CredentialUse, None] = field(default_factory=dict)
    token: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        offer = self.offer
        self.token = issue(offer.seed, offer.execution, offer.block, offer.attempt, offer.segment).text

    def write(self, writes: Mapping[str, Value]) -> None:
        """All values of one `set` were rendered before; now they are written together."""
        for name, value in writes.items():
            value = self.mask.value(value)
            space, dot, rest = name.partition(".")
            match space:
                case "ctx" | "iter" | "step" if dot:
                    getattr(self, space)[rest] = value
                case _:
                    self.local[name] = value

    def written(self) -> dict[str, Value]:
        """What the outcome carries: `{"ctx.x": …}`."""
        spaces = {"ctx": self.ctx, "step": self.step, "iter": self.iter}
        return {f"{space}.{name}": value for space, of in spaces.items() for name, value in of.items()}

    def scope(
        self,
        site: str,
        *,
        result: Any = None,
        output: Any = None,
        own: str | None = None,
        given: Mapping[str, Value] = MappingProxyType({}),
    ) -> Mapping[str, Any]:
        """Names for one site. With a task's `own` name, `output` (an envelope, or a `Result`) and `result` are its.

        `given` is a task's own input, read where the step binds no such name.
        """
        known = facts(self.plan, self.offer, site)
        ctx = {**known.ctx, **self.ctx}
        before = {name.removeprefix("step."): value for name, value in self.offer.variables.items()}
        fixed: dict[str, Any] = {"ctx": ctx, "iter": self._iter(), "step": {**before, **self.step}}
        fixed["keychain"] = self.keychain
        bound = {**given, **self.input}
        last: dict[str, Any] = {
            "input": bound,
            "callback_token": self.token,
            "loop_index": self._place["index"],
            **self._frame(),
        }
        if own is not None:
            failed = isinstance(output, Envelope) and output.fields["status"] == "error"
            event = EventName("step.failed" if failed else "step.done")
            fixed |= {"output": output, "event": {"name": event}}
            last |= {"result": Result(result), "response": Result(result)}
            last |= {"error": output.fields["error"]} if failed else {}
        elif self.previous is not None:
            fixed["output"] = self.previous
        local = {**{n: Result(v) for n, v in self.tasks.items()}, **self.local}
        if own is not None:
            local |= dict.fromkeys(self._own_names(own), Result(result))
        return names(replace(known, ctx=ctx), fixed=fixed, local=local, iterator=self._iterator(), last=last)

    def _own_names(self, task: str) -> list[str]:
        """The task's name and its step's, where they mean its result so far: no `set` and no other task has them."""
        step = self.offer.block.step
        single = self.plan.steps[step].tool.single
        free = [name for name in (task, step) if name not in self.local]
        return [name for name in free if name == task or single or name not in self.tasks]

    def _iterator(self) -> dict[str, Any]:
        pipeline = self.plan.steps[self.offer.block.step].tool
        own = {name: self.offer.item for name in (pipeline.iterator, pipeline.alias) if name is not None}
        return own if self.round is None else {**own, **dict.fromkeys(self.round.names, self.round.item)}

    def _iter(self) -> dict[str, Any]:
        return {**self._iterator(), **self._place, **self.iter}

    @property
    def _place(self) -> dict[str, int]:
        """Where the innermost loop stands."""
        at = self.round
        index, total = (self.offer.block.iteration, self.offer.total) if at is None else (at.index, at.total)
        return {"index": index, "_index": index, "total": total}

    def _frame(self) -> dict[str, float]:
        """What a cursor's claim is told."""
        loop = self.plan.steps[self.offer.block.step].loop
        if loop is None or loop.cursor is None:
            return {}
        told = {key: number_of(each, self.offer.workload) for key, each in loop.frame.items()}
        rows = count_of(loop.frame_rows, self.offer.workload)
        return {f"__frame_{key}": each for key, each in {"max_rows": rows, **told}.items()}


def input_of(desk: Desk, bindings: Expression | None) -> Mapping[str, Value]:
    """What the arc brought, under what the step's own `input` binds."""
    desk.input = desk.offer.args or {}
    bound = {} if bindings is None else evaluate(bindings, desk.scope("input"))
    return {**desk.input, **bound}


def beginning_of(plan: Plan, step: Step, offer: Offer) -> Beginning:
    """How a step begins, evaluated with the values that were too large for the owner. Raises ExpressionError."""
    return beginning(step, names(facts(plan, offer, "in"), last={"input": offer.args or {}}))


def condition_of(plan: Plan, step: Step, offer: Offer) -> bool:
    """Whether a loop goes on, evaluated likewise."""
    assert step.loop_condition is not None  # only a loop with a condition asks
    known, notes = facts(plan, offer, "while"), offer.resume
    scope = passing(known, step=step.name, index=notes["index"], last=notes["last"], args=offer.args)
    return bool(evaluate(step.loop_condition, scope))


def route_of(plan: Plan, step: Step, offer: Offer) -> Mapping[str, Value]:
    """A step's ending, concluded where its result is at hand."""
    notes = offer.resume
    error = None if notes["error"] is None else Error(**notes["error"])
    ended = Ending(
        step=step.name,
        result=notes["result"],
        error=error,
        http=notes["http"],
        tries=notes["tries"],
        duration_ms=notes["duration_ms"],
        loop=notes["loop"],
        args=offer.args,
        variables=notes["variables"],
        findings=notes["findings"],
    )
    status: Literal["done", "failed"] = "done" if error is None else "failed"
    end = StepFinished(step=step.name, epoch=offer.block.epoch, status=status, error=error)
    return routed(concluded(step, end, facts(plan, offer, "out"), ended))
