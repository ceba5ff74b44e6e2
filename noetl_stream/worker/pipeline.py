"""One block: its tasks in order on one slot, each ruled by its policy, until an outcome for the log stands."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, assert_never

from noetl_stream.core.counts import number_of
from noetl_stream.core.events import BlockCompleted, BlockFailed, BlockParked, Outcome, Report, Retry, Wait
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Expression, Plan
from noetl_stream.core.run import is_iteration
from noetl_stream.core.scope import envelope, evaluate
from noetl_stream.core.values import Envelope, Error, Piped, Result, Value
from noetl_stream.dsl.storage import Storage
from noetl_stream.dsl.tasks import Pipeline, Task
from noetl_stream.errors import ExpressionError, InfrastructureError, ToolError
from noetl_stream.ports.credentials import Credentials
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Tool
from noetl_stream.worker.contracts import Held, hold_to
from noetl_stream.worker.cutting import cut
from noetl_stream.worker.notes import Notes, restore, written
from noetl_stream.worker.policy import IN_SLOT, Again, Break, Continue, Fail, Jump, Ruled, rule
from noetl_stream.worker.promises import hold_result
from noetl_stream.worker.repeating import repeated
from noetl_stream.worker.sites import Desk, input_of
from noetl_stream.worker.storing import Shelf, with_selected
from noetl_stream.worker.trying import Ended, Trial, invalid, refused

MOVES = 1_000_000
"""Moves that one pipeline may make before it is taken for an endless one."""
END = -1


class PipelineRun:
    """Runs the tasks of one offer. `run_id` names this run in the log; two runs of one block may race, one counts."""

    def __init__(
        self,
        *,
        plan: Plan,
        offer: Offer,
        tools: Mapping[str, Tool],
        cache: Cache,
        run_id: str,
        credentials: Credentials,
    ) -> None:
        self._offer, self._cache, self._run_id = offer, cache, run_id
        self._step = plan.steps[offer.block.step]
        self._pipeline: Pipeline = self._step.work(offer.block.iteration)
        self._desk, self._notes = Desk(plan, offer), Notes()
        if offer.resume is not None:
            self._notes = Notes.of(offer.resume)
            restore(self._desk, offer.resume)
        self._shelf = Shelf(cache, offer)
        self._trial = Trial(self._desk, self._notes, tools, cache, credentials, run_id)
        self._began = time.perf_counter()

    async def run(self) -> Report:
        """The outcome. Never raises for what a playbook or the outside world did.

        Raises InfrastructureError, unless that would have somebody run again what may happen once only.
        """
        try:
            return await self._run()
        except InfrastructureError as error:
            if not self._trial.claimed:
                raise
            return BlockFailed(**self._common(), error=_unkept(error))

    async def _run(self) -> Report:
        if self._pipeline.secret_input:
            return await self._tasks()
        try:
            self._desk.input = input_of(self._desk, self._pipeline.input)
        except ExpressionError as error:
            return await self._failed(Ended(error=invalid(error)))
        return await self._tasks()

    async def _tasks(self) -> Report:
        last, ran, resumed = Ended(), None, self._offer.answered
        for move in range(MOVES):
            if move:
                await asyncio.sleep(0)  # tools that never wait must not keep the worker from its heartbeats
            if self._notes.task == END or self._notes.task >= len(self._pipeline.tasks):
                return await self._completed(last, ran)
            ran = task = self._pipeline.tasks[self._notes.task]
            last, resumed = await self._tried(task, resumed), False
            outcome = last.contested or await self._after(task, last)
            if outcome is not None:
                return outcome
        return await self._failed(Ended(error=_endless()))

    async def _after(self, task: Task, last: Ended) -> Outcome | None:
        """An outcome if the block is over, or parks; None to go on at `notes.task`."""
        return await self._parked(last.wait) if last.wait is not None else await self._obey(task, last)

    async def _tried(self, task: Task, resumed: bool) -> Ended:
        if task.repeat is None:
            return await self._trial.run(task, resumed)
        once = partial(self._trial.run, task)
        return await repeated(task, self._desk, self._notes, once, resumed=resumed)

    async def _obey(self, task: Task, last: Ended) -> Outcome | None:
        """Do as the rules say. What may happen once only is not tried again, whatever they say."""
        try:
            ruled = self._rule(task, last)
            match ruled.ruling:
                case Again() if task.effects == "at_most_once":
                    self._desk.write(ruled.writes)
                    return await self._failed(_told(task, last, "may run once, and its rule says `retry`"))
                case Again(after=after):
                    self._desk.write(ruled.writes)
                    return await self._again(task, last, after)
                case Fail(why=why):
                    self._desk.write(ruled.writes)
                    return await self._failed(_told(task, last, why))
                case _:
                    self._settle(task, last, ruled)
        except ExpressionError as error:
            return await self._failed(Ended(error=invalid(error)))
        self._desk.round = None
        self._notes.leave(task.name)
        self._notes.task = self._following(ruled.ruling)
        return None

    def _following(self, ruling: Continue | Jump | Break) -> int:
        match ruling:
            case Continue():
                return self._notes.task + 1
            case Jump(to=label):
                return self._pipeline.labels[label]
            case Break():
                return END
            case _:
                assert_never(ruling)

    async def _again(self, task: Task, last: Ended, after: float) -> Outcome | None:
        """A retry that is due soon waits in its slot; a later one frees it and goes on at the same task."""
        if after <= IN_SLOT:
            await asyncio.sleep(after)
            return None
        resume = await written(self._cache, self._notes, self._desk)
        told = _told(task, last, f"went well, but its rule tries it again in {after:g} s")
        return await self._failed(told, Retry(after=after, resume=resume))

    def _rule(self, task: Task, last: Ended) -> Ruled:
        output = self._envelope(task, last)
        scope = self._desk.scope(f"{task.name}/rules", result=last.result, output=output, own=task.name)
        return rule(
            task.rules,
            scope,
            failed=last.error is not None,
            tries=self._notes.tries.get(task.name, 0),
            jitter=random.random(),
            retry_after=last.retry_after,
        )

    def _settle(self, task: Task, last: Ended, ruled: Ruled) -> None:
        """A task is over: its rule's `set`, its own `set`, its result under its name."""
        output = self._envelope(task, last)
        own = Result(last.result) if last.error is None else output
        self._desk.write(ruled.writes)
        if task.writes is not None:
            scope = self._desk.scope(f"{task.name}/set", result=last.result, output=own, own=task.name)
            self._desk.write(evaluate(task.writes, scope))
        self._desk.tasks[task.name] = last.result if last.error is None else output.fields
        self._desk.previous = output

    def _envelope(self, task: Task, last: Ended) -> Envelope:
        """The `output` of the task's rules."""
        attempt = max(1, self._notes.tries.get(task.name, 0))
        return envelope(
            last.result, error=last.error, http=last.http, attempt=attempt, duration_ms=last.duration_ms
        )

    async def _completed(self, last: Ended, ran: Task | None) -> Outcome:
        """The pipeline ended well: its result is held to the step's contract, and kept where its storage says."""
        result = last.result
        if last.error is not None and self._desk.previous is not None:
            result = dict(self._desk.previous.fields)
        if not self._works:
            return self._outcome(last, await self._claimed(result))
        try:
            held, storage = await self._held(result), self._storage(ran)
            inline, ttl = map(self._number, (storage.inline, storage.ttl) if storage else (None, None))
        except (ToolError, ExpressionError) as error:
            return await self._failed(Ended(error=refused(error)))
        if held is not None and held.error is not None:
            return replace(await self._failed(Ended(error=held.error)), findings=held.findings)
        stands = self._with_tasks(result, result if held is None else held.result, storage)
        kept = await self._shelf.put("result", stands, self._step.parts, storage, inline, ttl)
        return replace(
            self._outcome(last, kept), writes=await self._writes(), findings=held and held.findings
        )

    def _outcome(self, last: Ended, result: Value) -> BlockCompleted:
        return BlockCompleted(**self._common(), result=result, http=last.http, duration_ms=self._ms())

    async def _held(self, result: Any) -> Held | None:
        """The result held to the contract. Raises ToolError or ExpressionError for a contract that cannot be asked."""
        contract, promise = self._pipeline.expect, self._pipeline.promise
        if promise is not None:
            led = self._desk.scope("promise").get("result")
            held = await hold_result(promise, led, self._offer.via)
        elif contract is not None:
            held = await hold_to(contract, result, self._desk.scope("expect"), self._step.name)
        else:
            return None
        if held.aside is None:
            return held
        stands = await self._trial.framed("good", held.result)
        # Small rows stay where conditions read them, however they are kept.
        aside = await self._shelf.put_apart("quarantined", held.aside, [()])
        return replace(held, result=stands, findings={**held.findings, "quarantined": aside})

    def _storage(self, ran: Task | None) -> Storage | None:
        """The step's own storage, over that of the task whose result it has."""
        own, inner = self._pipeline.storage, None if ran is None else ran.storage
        return inner if own is None else own.over(inner)

    def _number(self, number: Expression | None) -> float | None:
        return None if number is None else float(evaluate(number, self._desk.scope("storage")))

    def _with_tasks(self, result: Any, stands: Any, storage: Storage | None) -> Any:
        """The step's result, its selections among its keys, and beside it those of its tasks."""
        chosen = with_selected(stands, () if storage is None else storage.select)
        if self._pipeline.single or self._step.loop is not None:
            return chosen
        tasks = {name: chosen if each is result else each for name, each in self._desk.tasks.items()}
        return Piped(chosen, tasks)

    @property
    def _works(self) -> bool:
        return is_iteration(self._offer.block.iteration)

    async def _claimed(self, result: Any) -> Value:
        """What a cursor's claim brings its loop: its rows as items, or the frame of them as one."""
        rows, loop = result["rows"], self._step.loop
        items = rows
        if loop is not None and loop.whole_frames and rows:
            most = loop.frame.get("max_bytes")
            items = [rows] if most is None else cut(rows, number_of(most, self._offer.workload))
        return {"items": await self._shelf.put("items", items), "total": len(items)}

    async def _writes(self) -> dict[str, Value]:
        """What was `set`, for everybody: a large value by reference, like a result."""
        written = self._desk.written().items()
        return {
            name: await self._shelf.put(f"set-{name}", value, self._step.parts) for name, value in written
        }

    async def _failed(self, last: Ended, retry: Retry | None = None) -> BlockFailed:
        """Failed for good, with what was written before; or to be tried again, with notes that carry it on."""
        assert last.error is not None
        return BlockFailed(
            **self._common(),
            error=last.error,
            retry=retry,
            result=await self._shelf.put("error", last.result, self._step.parts),
            writes={} if retry is not None else await self._writes(),
            http=last.http,
            duration_ms=self._ms(),
        )

    async def _parked(self, wait: Wait) -> Outcome:
        resume = await written(self._cache, self._notes, self._desk)
        return BlockParked(**self._common(), wait=wait, resume=resume)

    def _common(self) -> dict[str, Any]:
        offer = self._offer
        return {
            "block": offer.block,
            "attempt": offer.attempt,
            "segment": offer.segment,
            "run": self._run_id,
            "time": time.time(),
            "tries": self._notes.total,
            "credentials": tuple(self._desk.uses),
        }

    def _ms(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 3)


def _endless() -> Error:
    return Error(
        kind="validation", message=f"the pipeline made {MOVES:,} moves; check its `jump` rules for an end"
    )


def _unkept(error: InfrastructureError) -> Error:
    message = f"its effect, which may happen once, has been caused, but the outcome cannot be kept: {error}"
    return Error(kind="server_error", message=message)


def _told(task: Task, last: Ended, why: str) -> Ended:
    """How a task ended, for a rule that will not have it: its own error, or the rule's if it had none."""
    if last.error is not None:
        return last
    error = Error(kind="validation", message=f"task '{task.name}' {why}", place=task.place)
    return replace(last, error=error)
