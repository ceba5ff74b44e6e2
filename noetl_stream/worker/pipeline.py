"""One block: its tasks in order on one slot, each ruled by its policy, until an outcome for the log stands."""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from pydantic import ValidationError

from noetl_stream.core.events import BlockCompleted, BlockFailed, BlockParked, Outcome, Retry, Wait
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan, Step
from noetl_stream.core.scope import evaluate
from noetl_stream.core.values import Envelope, Error, Value
from noetl_stream.dsl.tasks import Pipeline, Task
from noetl_stream.errors import ExpressionError, ToolError
from noetl_stream.ids import effect_key
from noetl_stream.ports.frames import Cache, FrameKey
from noetl_stream.ports.tools import Call, Done, Park, Tool
from noetl_stream.worker.keep import frames_of, keep
from noetl_stream.worker.policy import IN_SLOT, Again, Break, Continue, Fail, Jump, Ruled, rule
from noetl_stream.worker.sites import Desk, task_envelope

MOVES = 1_000_000
"""Moves that one pipeline may make before it is taken for an endless one."""
TRACE_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one try of a task ended."""

    result: Any = None
    error: Error | None = None
    http: Value = None
    retry_after: float | None = None
    wait: Wait | None = None
    duration_ms: float = 0.0


@dataclass(slots=True, kw_only=True)
class Notes:
    """Where a pipeline stands: the task to run next, and how often each was tried and visited."""

    task: int = 0
    tries: dict[str, int] = field(default_factory=dict)
    visits: dict[str, int] = field(default_factory=dict)
    total: int = 0


class PipelineRun:
    """Runs the tasks of one offer. `run_id` names this run in the log; two runs of one block may race, one counts."""

    def __init__(
        self, *, plan: Plan, offer: Offer, tools: Mapping[str, Tool], cache: Cache, run_id: str
    ) -> None:
        self._plan, self._offer, self._tools, self._cache, self._run_id = plan, offer, tools, cache, run_id
        self._step: Step = plan.steps[offer.block.step]
        self._pipeline: Pipeline = self._step.tool
        self._desk, self._notes = Desk(plan, offer), Notes()
        self._answered = offer.answered
        self._began = time.perf_counter()
        if offer.resume is not None:
            self._take_up(offer.resume)

    async def run(self) -> Outcome:
        """The outcome. Never raises for what a playbook or the outside world did."""
        try:
            self._desk.input = self._step_input()
        except ExpressionError as error:
            return await self._failed(Ended(error=_validation(error)))
        return await self._tasks()

    async def _tasks(self) -> Outcome:
        last, moves = Ended(), 0
        while self._notes.task < len(self._pipeline.tasks):
            moves += 1
            if moves > MOVES:
                return await self._failed(Ended(error=_endless()))
            task = self._pipeline.tasks[self._notes.task]
            last = await self._try(task)
            if last.wait is not None:
                return await self._parked(last.wait)
            over = await self._obey(task, last)
            if over is not None:
                return over
            if self._notes.task < 0:
                break
        return await self._completed(last)

    async def _obey(self, task: Task, last: Ended) -> Outcome | None:
        """Do as the rules say; an outcome if the block is over, None to go on at `notes.task` (-1: end well)."""
        try:
            ruled = self._rule(task, last)
            if isinstance(ruled.ruling, Again):
                self._desk.write(ruled.writes)
                return await self._again(last, ruled.ruling.after)
            if isinstance(ruled.ruling, Fail):
                self._desk.write(ruled.writes)
                return await self._failed(
                    last if last.error else Ended(error=_told_to_fail(task), result=last.result)
                )
            self._settle(task, last, ruled)
        except ExpressionError as error:
            return await self._failed(Ended(error=_validation(error)))
        self._notes.task = self._next(task, ruled)
        return None

    def _next(self, task: Task, ruled: Ruled) -> int:
        match ruled.ruling:
            case Continue():
                following = self._notes.task + 1
            case Jump(to=label):
                following = self._pipeline.labels[label]
            case Break():
                return -1
            case Again() | Fail():
                return self._notes.task
            case _:
                assert_never(ruled.ruling)
        self._notes.tries.pop(task.name, None)
        return following

    async def _again(self, last: Ended, after: float) -> Outcome | None:
        """A retry that is due soon waits in its slot; a later one frees it and goes on at the same task."""
        if after <= IN_SLOT:
            await asyncio.sleep(after)
            return None
        retry = Retry(after=after, resume=await self._resume())
        return await self._failed(last, retry)

    def _rule(self, task: Task, last: Ended) -> Ruled:
        tries = self._notes.tries[task.name]
        output = self._envelope(last)
        scope = self._desk.scope(f"{task.name}/rules", result=last.result, output=output, own=True)
        return rule(
            task.rules,
            scope,
            failed=last.error is not None,
            tries=tries,
            jitter=random.random(),  # spreads retries, guards nothing
            retry_after=last.retry_after,
        )

    def _settle(self, task: Task, last: Ended, ruled: Ruled) -> None:
        """A task is over: its rule's `set`, its own `set`, its result under its name."""
        output = self._envelope(last)
        own = last.result if last.error is None else output
        self._desk.write(ruled.writes)
        if task.writes is not None:
            scope = self._desk.scope(f"{task.name}/set", result=last.result, output=own, own=True)
            self._desk.write(evaluate(task.writes, scope))
        self._desk.tasks[task.name] = own.fields if isinstance(own, Envelope) else own
        self._desk.previous = output

    def _envelope(self, last: Ended) -> Envelope:
        return task_envelope(last.result, last.error, last.http, max(1, self._notes.total), last.duration_ms)

    async def _try(self, task: Task) -> Ended:
        """One try of one task; whatever it raises becomes an error of the task."""
        resumed, self._answered = self._answered, False
        if not resumed:
            self._notes.tries[task.name] = self._notes.tries.get(task.name, 0) + 1
            self._notes.total += 1
        began = time.perf_counter()
        ended = await self._guarded(task, resumed)
        duration = (time.perf_counter() - began) * 1000
        return Ended(
            result=ended.result,
            error=ended.error,
            http=ended.http,
            retry_after=ended.retry_after,
            wait=ended.wait,
            duration_ms=round(duration, 3),
        )

    async def _guarded(self, task: Task, resumed: bool) -> Ended:
        try:
            return await self._call(task, resumed)
        except ToolError as error:
            return await self._tool_failed(task, error)
        except ExpressionError as error:
            return Ended(error=_validation(error))
        except TimeoutError:
            message = f"task '{task.name}' did not end within its timeout; raise `timeout` or make it faster"
            return Ended(error=Error(kind="timeout", message=message, retryable=True, place=task.place))
        except Exception as fault:  # the worker's boundary: a tool may raise anything
            trace = traceback.format_exc()[-TRACE_BYTES:]
            message = f"{type(fault).__name__}: {fault}"
            return Ended(error=Error(kind="python", message=message, place=task.place, trace=trace))

    async def _tool_failed(self, task: Task, error: ToolError) -> Ended:
        recorded = Error(
            kind=error.kind,
            message=error.message,
            retryable=error.retryable,
            status=error.status,
            code=error.code,
            place=task.place,
            trace=None if error.trace is None else error.trace[-TRACE_BYTES:],
        )
        result = await self._framed(task, error.value)
        head = None if error.status is None else {"status": error.status}
        return Ended(result=result, error=recorded, http=head, retry_after=error.retry_after)

    async def _call(self, task: Task, resumed: bool) -> Ended:
        if task.fault is not None:
            raise ToolError(task.fault.message, kind=task.fault.kind)
        tool = self._tools.get(task.kind)
        if tool is None:
            raise ToolError(f"tool kind '{task.kind}' is not installed on this worker", kind="not_installed")
        call = self._prepare(task, tool, resumed)
        async with asyncio.timeout(call.timeout):
            done = await tool.run(call)
        match done:
            case Park(wait=wait):
                return Ended(wait=wait)
            case Done(value=value, http=http):
                return Ended(result=await self._framed(task, value), http=http)
            case _:
                assert_never(done)

    async def _framed(self, task: Task, value: Any) -> Any:
        limit, paths = self._offer.inline_limit, self._step.parts
        return await frames_of(self._cache, self._key(task.name), value, inline_limit=limit, paths=paths)

    def _prepare(self, task: Task, tool: Tool, resumed: bool) -> Call:
        """Render a task's config and inputs. A new visit of a task has a new effect key; a retry has not."""
        if not resumed and self._notes.tries[task.name] == 1:
            self._notes.visits[task.name] = self._notes.visits.get(task.name, 0) + 1
        scope = self._desk.scope(task.name)
        own = evaluate(task.input, scope) if task.input is not None else {}
        rendered = evaluate(task.config, scope)
        timeout = evaluate(task.timeout, scope) if task.timeout is not None else None
        try:
            config = tool.config.model_validate(rendered)
        except ValidationError as error:
            raise ToolError(_config_problem(task, error), kind="validation") from None
        block = f"{self._offer.execution}/{self._offer.block}"
        return Call(
            config=config,
            input={**self._desk.input, **own},
            context={**self._offer.workload, **self._offer.ctx, **self._desk.ctx, **self._offer.results},
            effect_key=effect_key(block, task.name, self._notes.visits.get(task.name, 1)),
            timeout=None if timeout is None else float(timeout),
            execution=self._offer.execution,
            answer=self._offer.answer if resumed else None,
            answered=resumed,
        )

    def _step_input(self) -> Mapping[str, Value]:
        """What the arc brought, under what the step's own `input` binds."""
        bound = (
            evaluate(self._pipeline.input, self._desk.scope("input"))
            if self._pipeline.input is not None
            else {}
        )
        return {**(self._offer.args or {}), **bound}

    async def _completed(self, last: Ended) -> Outcome:
        result = last.result if last.error is None else dict(self._envelope(last).fields)
        if not self._pipeline.single and isinstance(result, dict) and "results" not in result:
            result = {**result, "results": dict(self._desk.tasks)}
        kept = await keep(
            self._cache,
            self._key("result"),
            result,
            inline_limit=self._offer.inline_limit,
            paths=self._step.parts,
        )
        return BlockCompleted(
            **self._common(), result=kept, writes=self._desk.written(), http=last.http, duration_ms=self._ms()
        )

    async def _failed(self, last: Ended, retry: Retry | None = None) -> Outcome:
        assert last.error is not None  # only an error fails a block
        limit = self._offer.inline_limit
        kept = await keep(
            self._cache, self._key("error"), last.result, inline_limit=limit, paths=self._step.parts
        )
        writes = {} if retry is not None else self._desk.written()
        return BlockFailed(
            **self._common(),
            error=last.error,
            retry=retry,
            result=kept,
            writes=writes,
            http=last.http,
            duration_ms=self._ms(),
        )

    async def _parked(self, wait: Wait) -> Outcome:
        return BlockParked(**self._common(), wait=wait, resume=await self._resume())

    def _common(self) -> dict[str, Any]:
        offer = self._offer
        return {
            "block": offer.block,
            "attempt": offer.attempt,
            "segment": offer.segment,
            "run": self._run_id,
            "time": time.time(),
            "tries": self._notes.total,
        }

    def _ms(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 3)

    async def _resume(self) -> Value:
        """Notes to go on at the same task, on any worker: large results stay in the cache."""
        desk = self._desk
        tasks = {
            name: await keep(self._cache, self._key(name), value, inline_limit=1024)
            for name, value in desk.tasks.items()
        }
        return {
            "task": self._notes.task,
            "tries": self._notes.tries,
            "visits": self._notes.visits,
            "tasks": tasks,
            "local": desk.local,
            "ctx": desk.ctx,
            "iter": desk.iter,
            "step": desk.step,
        }

    def _take_up(self, notes: Mapping[str, Any]) -> None:
        self._notes = Notes(task=notes["task"], tries=dict(notes["tries"]), visits=dict(notes["visits"]))
        desk = self._desk
        desk.tasks, desk.local = dict(notes["tasks"]), dict(notes["local"])
        desk.ctx, desk.iter, desk.step = dict(notes["ctx"]), dict(notes["iter"]), dict(notes["step"])

    def _key(self, name: str) -> FrameKey:
        return FrameKey(
            execution=self._offer.execution, block=self._offer.block, attempt=self._offer.attempt, name=name
        )


def _validation(error: ExpressionError) -> Error:
    return Error(kind="validation", message=str(error), place=error.place)


def _endless() -> Error:
    return Error(
        kind="validation", message=f"the pipeline made {MOVES:,} moves; check its `jump` rules for an end"
    )


def _told_to_fail(task: Task) -> Error:
    return Error(kind="validation", message=f"a rule of task '{task.name}' says `fail`", place=task.place)


def _config_problem(task: Task, error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "config"
    return f"task '{task.name}' ({task.kind}): {key}: {first['msg']}; correct it at {task.place}"
