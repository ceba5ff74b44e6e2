"""One try of one task: its config rendered, its tool called, whatever that raises made an error of the task."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never

from pydantic import ValidationError

from noetl_stream.core.events import BlockContested, Callback, Child, Wait
from noetl_stream.core.messages import Offer
from noetl_stream.core.scope import evaluate
from noetl_stream.core.values import Error, Value, unmarked
from noetl_stream.dsl.lookup import Nothing, value_at
from noetl_stream.dsl.tasks import Task
from noetl_stream.errors import DamagedResult, ExpressionError, InfrastructureError, ToolError
from noetl_stream.ids import child_request, effect_key
from noetl_stream.ports.credentials import Credentials, Secret
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call, Done, Park, Tool
from noetl_stream.worker.claims import Claim, Taken, take
from noetl_stream.worker.credentials import Keyring
from noetl_stream.worker.keep import frames_of, is_plain, key_of
from noetl_stream.worker.notes import Notes
from noetl_stream.worker.sites import Desk, input_of
from noetl_stream.worker.storing import with_selected

TRACE_BYTES = 8 * 1024
MESSAGE_LENGTH = 4 * 1024
REFUSED = 401
"""What http answers to a credential that it does not take, or not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one try of a task ended; `contested` if it did not run, since another run of its block had begun it."""

    result: Any = None
    error: Error | None = None
    http: Value = None
    retry_after: float | None = None
    wait: Wait | None = None
    contested: BlockContested | None = None
    duration_ms: float = 0.0


class Trial:
    """Tries the tasks of one block. `claimed` tells that this run may have caused what must not happen twice."""

    def __init__(
        self,
        desk: Desk,
        notes: Notes,
        tools: Mapping[str, Tool],
        cache: Cache,
        credentials: Credentials,
        run_id: str,
    ) -> None:
        self._keyring = Keyring(desk, credentials)
        self._run_id, self.claimed = run_id, False
        self._desk, self._notes, self._tools, self._cache = desk, notes, tools, cache
        self._offer: Offer = desk.offer
        self._step = desk.plan.steps[desk.offer.block.step]

    async def run(self, task: Task, resumed: bool) -> Ended:
        """Never raises for what a playbook or the outside world did. `resumed`: go on after what it waited for."""
        if not resumed:
            self._notes.count(task.name)
        began = time.perf_counter()
        ended = await self._guarded(task, resumed)
        duration = round((time.perf_counter() - began) * 1000, 3)
        return replace(ended, error=self._shown(ended.error), duration_ms=duration)

    def _shown(self, error: Error | None) -> Error | None:
        """The error without secrets, and no longer than is recorded."""
        if error is None:
            return None
        mask = self._desk.mask.value
        return replace(
            error,
            message=mask(error.message)[:MESSAGE_LENGTH],
            code=mask(error.code),
            trace=None if error.trace is None else mask(error.trace)[-TRACE_BYTES:],
        )

    async def _guarded(self, task: Task, resumed: bool) -> Ended:
        try:
            return await self._call(task, resumed)
        except Taken as taken:
            return Ended(contested=self._contested(task, taken))
        except ToolError as error:
            return await self._tool_failed(task, error)
        except ExpressionError as error:
            return Ended(error=invalid(error))
        except InfrastructureError as error:
            return Ended(error=_platform_failed(task, error))
        except (Exception, SystemExit, asyncio.CancelledError) as fault:  # a tool may raise anything
            if isinstance(fault, asyncio.CancelledError) and _being_cancelled():
                raise
            return Ended(error=_raised(task, fault))

    def _contested(self, task: Task, taken: Taken) -> BlockContested:
        offer = self._offer
        return BlockContested(
            block=offer.block,
            attempt=offer.attempt,
            segment=offer.segment,
            run=self._run_id,
            task=task.name,
            effect=self._effect(task),
            deadline=taken.deadline,
            time=time.time(),
            credentials=tuple(self._desk.uses),
        )

    async def _tool_failed(self, task: Task, error: ToolError) -> Ended:
        """The task's error as its tool told it, with what it returned all the same, where that can be written down."""
        if error.status == REFUSED:
            self._keyring.doubt()
        recorded = _told(task, error)
        head = None if error.status is None else {"status": error.status}
        ended = Ended(error=recorded, http=head, retry_after=error.retry_after)
        try:
            result = await self.framed(task.name, await self._hidden(error.value))
        except (ToolError, InfrastructureError) as lost:
            message = f"{recorded.message} (what it returned with that is lost: {lost})"
            return replace(ended, error=replace(recorded, message=message))
        return replace(ended, result=result)

    async def _call(self, task: Task, resumed: bool) -> Ended:
        tool = self._tool(task)
        call = self._prepare(task, tool, resumed, await self._keyring.open(task))
        if task.effects == "at_most_once":
            await self._claim(call)
        done = await _within(task, call, tool)
        match done:
            case Park(wait=wait):
                return Ended(wait=self._identified(task, wait))
            case Done(value=value, http=http):
                result = await self.framed(task.name, await self._hidden(value))
                _check_returns(task, result)
                selected = with_selected(result, task.storage.select if task.storage else ())
                return Ended(result=selected, http=self._desk.mask.value(http))
            case _:
                assert_never(done)

    async def _claim(self, call: Call) -> None:
        """From here on the task's effect is this run's, and may have happened. Raises Taken."""
        claim = Claim(
            key=call.effect_key, segment=self._offer.segment, run=self._run_id, timeout=call.timeout
        )
        await take(self._cache, claim)
        self.claimed = True

    def _tool(self, task: Task) -> Tool:
        if task.fault is not None:
            raise ToolError(task.fault.message, kind=task.fault.kind)
        tool = self._tools.get(task.kind)
        if tool is None:
            raise ToolError(f"tool kind '{task.kind}' is not installed on this worker", kind="not_installed")
        return tool

    def _prepare(self, task: Task, tool: Tool, resumed: bool, credentials: Mapping[str, Secret]) -> Call:
        desk, offer, pipeline = self._desk, self._offer, self._step.work(self._offer.block.iteration)
        if pipeline.secret_input:
            desk.input = input_of(desk, pipeline.input)
        scope = desk.scope(task.name)
        own = evaluate(task.input, scope) if task.input is not None else {}
        rendered = evaluate(task.config, desk.scope(task.name, given=own) if own else scope)
        timeout = evaluate(task.timeout, scope) if task.timeout is not None else None
        try:
            config = tool.config.model_validate(rendered)
        except ValidationError as error:
            raise ToolError(_config_problem(task, error), kind="validation") from None
        return Call(
            config=config,
            input={**desk.input, **own},
            context=self._context(),
            effect_key=self._effect(task),
            timeout=None if timeout is None else float(timeout),
            execution=offer.execution,
            hosts=desk.plan.policy.hosts,
            credentials=credentials,
            callback=desk.token,
            answer=offer.answer if resumed else None,
            answered=resumed,
            once=task.effects == "exactly_once",
        )

    def _context(self) -> dict[str, Value]:
        desk, offer = self._desk, self._offer
        written = {**offer.ctx, **desk.ctx}
        return {**offer.workload, **written, **_plain(offer.results), "ctx": written}

    def _effect(self, task: Task) -> str:
        return effect_key(self._block, task.name, self._notes.visit(task.name))

    @property
    def _block(self) -> str:
        return f"{self._offer.execution}/{self._offer.block}"

    def _identified(self, task: Task, wait: Wait) -> Wait:
        """Every try starts a child of its own; a redelivered one meets the child that it started. What is asked is shown to
        whoever looks, without secrets."""
        if isinstance(wait, Callback):
            return replace(wait, ask=self._desk.mask.value(wait.ask))
        if not isinstance(wait, Child):
            return wait
        if self._desk.mask.hides(wait.input):
            raise ToolError(
                f"task '{task.name}' would hand a secret to '{wait.path}', whose inputs stand in the event log; "
                "let the child read its own keychain",
                kind="credential",
            )
        turn = self._notes.turns[task.name]
        return replace(wait, identity=child_request(self._block, self._offer.attempt, task.name, turn).hex())

    async def _hidden(self, value: Any) -> Any:
        """The value without secrets. Tables are searched beside the event loop."""
        mask = self._desk.mask
        if not mask.covers or is_plain(value):
            return mask.value(value)
        return await asyncio.to_thread(mask.value, value)

    async def framed(self, name: str, value: Any) -> Any:
        """What a tool yielded, its tables in the cache and open. Raises ToolError for what cannot be written down."""
        key, limit, paths = key_of(self._offer, name), self._offer.inline_limit, self._step.parts
        return await frames_of(self._cache, key, value, inline_limit=limit, paths=paths)


def _check_returns(task: Task, result: Any) -> None:
    """A workbook entry says which keys its result has."""
    lacking = [key for key in task.returns if isinstance(value_at(result, (key,)), Nothing)]
    if lacking:
        raise ToolError(
            f"task '{task.name}' returned no {', '.join(lacking)}, which its `assert.returns` names; return it",
            kind="validation",
            value=result,
        )


async def _within(task: Task, call: Call, tool: Tool) -> Done | Park:
    """The tool's answer within its timeout. A `TimeoutError` of the tool's own is not ours to explain."""
    limit = asyncio.timeout(call.timeout)
    try:
        async with limit:
            return await tool.run(call)
    except TimeoutError:
        if not limit.expired():
            raise
        message = (
            f"task '{task.name}' did not end within {call.timeout:g} s; raise `timeout` or make it faster"
        )
        raise ToolError(message, kind="timeout", retryable=True) from None


def _plain(results: Mapping[str, Value]) -> dict[str, Value]:
    return {name: unmarked(each) for name, each in results.items()}


def _told(task: Task, error: ToolError) -> Error:
    return Error(
        kind=error.kind,
        message=error.message + task.standing(error.line),
        retryable=error.retryable,
        status=error.status,
        code=error.code,
        place=task.place,
        trace=error.trace,
    )


def _platform_failed(task: Task, error: InfrastructureError) -> Error:
    retryable = not isinstance(error, DamagedResult)
    return Error(kind="server_error", message=str(error), retryable=retryable, place=task.place)


def _raised(task: Task, fault: BaseException) -> Error:
    late = isinstance(fault, TimeoutError)
    return Error(
        kind="timeout" if late else "python",
        message=f"{type(fault).__name__}: {fault}",
        retryable=late,
        place=task.place,
        trace=traceback.format_exc(),
    )


def _being_cancelled() -> bool:
    """Whether somebody wants this block to stop; else a tool raised what looks like it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def refused(error: ToolError | ExpressionError) -> Error:
    """A contract that could not be asked, as the block's error."""
    if isinstance(error, ExpressionError):
        return invalid(error)
    return Error(kind=error.kind, message=error.message)


def invalid(error: ExpressionError) -> Error:
    """A template that failed while it ran, as the task's error."""
    return Error(kind="validation", message=str(error), place=error.place)


def _config_problem(task: Task, error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "config"
    return f"task '{task.name}' ({task.kind}): {key}: {first['msg']}; correct it at {task.place}"
