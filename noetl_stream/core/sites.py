"""The scopes in which `decide` evaluates a step's expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from noetl_stream.core.execution import Execution
from noetl_stream.core.plan import Plan, Step
from noetl_stream.core.run import Finished, Run
from noetl_stream.core.scope import EventName, Facts, envelope, error_fields, evaluate, names, where
from noetl_stream.core.values import Envelope, Error, Value, marked


def facts(plan: Plan, execution: Execution, site: str, at: float, **more: Any) -> Facts:
    """What the execution knows at a site."""
    known: dict[str, Any] = {
        "workload": execution.workload,
        "ctx": execution.ctx,
        "results": execution.results,
        "steps": Steps(execution),
    }
    return Facts(
        execution=execution.id,
        path=plan.path,
        version=plan.version,
        seed=execution.request.seed,
        at=at,
        site=site,
        spec=plan.metadata.get("spec"),
        **(known | more),
    )


class Steps(Mapping[str, Mapping[str, Value]]):
    """The envelopes of the steps that have finished, made only when read."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def __getitem__(self, name: str) -> Mapping[str, Value]:
        return step_fields(self._execution, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._execution.finished)

    def __len__(self) -> int:
        return len(self._execution.finished)


def step_fields(execution: Execution, name: str) -> Mapping[str, Value]:
    """`steps.<name>`: the envelope of a step that has finished."""
    ended: Finished = execution.finished[name]
    result = execution.results.get(name)
    return {
        "status": ended.status,
        "attempts": ended.tries,
        "error": None if ended.error is None else error_fields(ended.error),
        "started_at": ended.entered_at,
        "finished_at": ended.ended_at,
        "data": result,
        "ref": where(marked(result)),
        **_found(ended.findings),
    }


def _found(findings: Value) -> Mapping[str, Value]:
    """What a step's contract found, and the rows that it set aside."""
    if findings is None:
        return {}
    return {"findings": findings, "quarantined": findings.get("quarantined")}


def entering(
    plan: Plan, execution: Execution, step: str, via: str | None, args: Value, at: float
) -> Mapping[str, Any]:
    """Where a step's admission and its loop's collection are evaluated."""
    site = f"{step}/{execution.epochs.get(step, -1) + 1}/in"
    known = facts(plan, execution, site, at, via=via, error=led_here(execution, via))
    return names(known, last={"input": args or {}})


def between(plan: Plan, execution: Execution, step: str, run: Run, at: float) -> Mapping[str, Any]:
    """Where a loop's condition is evaluated: before its next iteration, after the last one's result."""
    site = f"{step}/{run.epoch}/while/{run.next}"
    known = facts(plan, execution, site, at, via=run.via, error=led_here(execution, run.via))
    return passing(known, step=step, index=run.next, last=run.last, args=run.args)


def passing(known: Facts, *, step: str, index: int, last: Value, args: Value) -> Mapping[str, Any]:
    """The names between two iterations. Before the first one the step has no result."""
    own: dict[str, Any] = {"input": args or {}, "loop_index": index}
    if index:
        known = replace(known, results={**known.results, step: last})
        own |= {"result": marked(last), "response": marked(last)}
    return names(known, fixed={"iter": {"index": index, "_index": index}}, last=own)


def bound(step: Step, known: Facts, args: Value) -> Value:
    """A step's inputs as its `set` and arcs read them: what the arc brought, under what the step's own `input` binds."""
    if step.input is None or not step.leaves_by_input:
        return args
    own = evaluate(step.input, names(known, last={"input": args or {}}))
    return {**(args or {}), **own}


def led_here(execution: Execution, via: str | None) -> Error | None:
    """The error of the step that sent the token, if it failed."""
    ended = execution.finished.get(via) if via is not None else None
    return None if ended is None else ended.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a step's run ended: what its `set` and arcs may read beyond the execution's facts."""

    step: str
    result: Value
    error: Error | None = None
    http: Value = None
    tries: int = 1
    duration_ms: float = 0.0
    loop: bool = False
    args: Value = None
    variables: Mapping[str, Value] = field(default_factory=dict)
    findings: Value = None

    @property
    def event(self) -> str:
        return "step.failed" if self.error is not None else "loop.done" if self.loop else "step.done"


def leaving(known: Facts, ending: Ending, writes: Mapping[str, Value]) -> Mapping[str, Any]:
    """Where a finished step's `set` and arcs are evaluated, after `writes` ({"ctx.x": …}) have been written."""
    found = _found(ending.findings)
    after = replace(
        known,
        ctx={**known.ctx, **_scoped(writes, "ctx.")},
        results={**known.results, ending.step: ending.result},
        steps={**known.steps, ending.step: _own(ending)} if found else known.steps,
        error=ending.error or known.error,
    )
    variables = {**ending.variables, **writes}
    output = envelope(
        ending.result,
        error=ending.error,
        http=ending.http,
        attempt=ending.tries,
        duration_ms=ending.duration_ms,
    )
    fixed = {
        "output": Envelope({**output.fields, **found}),
        "event": {"name": EventName(ending.event)},
        "step": _scoped(variables, "step."),
        "iter": _scoped(variables, "iter."),
    }
    own = marked(ending.result)
    local = {name: value for name, value in writes.items() if "." not in name}
    last = {"result": own, "response": own, "input": ending.args or {}}
    return names(after, fixed=fixed, local=local, last=last)


def _own(ending: Ending) -> Mapping[str, Value]:
    """`steps.<step>` at the end of a step that has a contract: what this found can be read at once."""
    return {
        "status": "done" if ending.error is None else "failed",
        "attempts": ending.tries,
        "error": None if ending.error is None else error_fields(ending.error),
        "data": ending.result,
        "ref": where(marked(ending.result)),
        **_found(ending.findings),
    }


def _scoped(writes: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    return {name.removeprefix(prefix): value for name, value in writes.items() if name.startswith(prefix)}
