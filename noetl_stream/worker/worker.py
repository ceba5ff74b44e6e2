"""The worker: takes offers into a bounded set of slots, runs each once, and reports before it lets go.

It holds nothing that the log does not: killed at any instruction, its offers are delivered again to another.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeAlias

from noetl_stream.core.events import BlockFact, BlockFailed, BlockId, Report, Retry
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan
from noetl_stream.core.values import Error
from noetl_stream.errors import DamagedResult, InfrastructureError, NoetlError, ToolError
from noetl_stream.ports.credentials import Credentials
from noetl_stream.ports.facts import FactLog
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Tool
from noetl_stream.worker.block import broken, run_block
from noetl_stream.worker.credentials import FROM_DOCUMENT
from noetl_stream.worker.items import Collections
from noetl_stream.worker.lease import USUAL, Pace, hold
from noetl_stream.worker.trying import TRACE_BYTES

log = logging.getLogger(__name__)

Key: TypeAlias = tuple[int, BlockId, int, int]
"""(execution, block, attempt, segment): one life of a block."""
REMEMBERED = 10_000
"""Finished lives kept in memory, to drop offers that come again: it saves work, nothing rests on it."""
POSTPONED, POSTPONED_FOR = 5, 10.0
"""How often, and for how many seconds, a block is put off because the platform failed it outside its tasks."""


class Plans(Protocol):
    """The playbooks a worker can run."""

    async def plan(self, offer: Offer) -> Plan:
        """The plan an offer pins. Raises NoetlError if it cannot be had within a bounded wait."""
        ...


@dataclass(slots=True)
class Run:
    """A block in a slot, and whom to tell when its offer may be forgotten."""

    task: asyncio.Task[None]
    done: list[Callable[[], None]] = field(default_factory=list)
    detached: bool = False

    def let_go(self) -> None:
        """Acknowledge every delivery of the offer so far."""
        for acknowledge in self.done:
            acknowledge()
        self.done.clear()


class Worker:
    """Slots for one pool. `name` is part of every run's id."""

    def __init__(
        self,
        *,
        name: str,
        slots: int,
        plans: Plans,
        tools: Mapping[str, Tool],
        cache: Cache,
        facts: FactLog,
        pace: Pace = USUAL,
        credentials: Credentials = FROM_DOCUMENT,
    ) -> None:
        self._name, self._pace, self._plans, self._facts = name, pace, plans, facts
        self._block = partial(
            run_block, tools=tools, cache=cache, credentials=credentials, collections=Collections(cache)
        )
        self._left, self._freed = slots, asyncio.Event()
        self._runs: dict[Key, Run] = {}
        self._finished: OrderedDict[Key, None] = OrderedDict()
        self._stopped: OrderedDict[int, None] = OrderedDict()
        self._count, self._closed = 0, False

    async def accept(self, offer: Offer, done: Callable[[], None]) -> None:
        """Take an offer; returns when it has a slot, so that a full worker stops reading. `done` is called once the
        offer may be forgotten: its outcome is durable, or the block holds itself by a claim.
        """
        key = _key(offer)
        while not self._known(key, done):
            if self._left:
                self._begin(key, offer).done.append(done)
                return
            self._freed.clear()
            await self._freed.wait()

    def _known(self, key: Key, done: Callable[[], None]) -> bool:
        """Whether an offer needs no slot: its run is over, or goes on, or is left to the next worker."""
        if key in self._finished or key[0] in self._stopped:
            done()
        elif key in self._runs:
            self._join(self._runs[key], done)
        else:
            return self._closed
        return True

    def overhear(self, offer: Offer) -> None:
        """Begin an offer of this process before the broker delivers it here, if a slot is free.

        The delivery will join the run, or find it finished; if it goes elsewhere, the block runs twice and counts once.
        """
        key = _key(offer)
        known = key in self._runs or key in self._finished or offer.execution in self._stopped
        if self._left and not known and not self._closed:
            self._begin(key, offer)

    def _begin(self, key: Key, offer: Offer) -> Run:
        self._left -= 1
        self._count += 1
        run = Run(asyncio.create_task(self._run(key, offer, f"{self._name}/{self._count}")))
        self._runs[key] = run
        run.task.add_done_callback(partial(self._over, key))
        return run

    def _over(self, key: Key, task: asyncio.Task[None]) -> None:
        """A slot is free again. A run that reported nothing leaves its offer to be delivered again."""
        self._left += 1
        self._freed.set()
        run = self._runs.pop(key)
        if key in self._finished:
            run.let_go()
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("block %s of execution %s ended without a report", key[1], key[0], exc_info=fault)

    @staticmethod
    def _join(run: Run, done: Callable[[], None]) -> None:
        """An offer seen again while it runs is forgotten when that run ends, not before."""
        run.done.append(done)
        if run.detached:
            run.let_go()

    async def _run(self, key: Key, offer: Offer, run_id: str) -> None:
        async with asyncio.TaskGroup() as group:
            lease = group.create_task(self._hold(key, offer, run_id))
            outcome = await self._outcome(offer, run_id)
            lease.cancel()
        await self._conclude(offer, run_id, outcome)
        self._remember(key)

    async def _hold(self, key: Key, offer: Offer, run_id: str) -> None:
        async def append(claim: BlockFact) -> None:
            await self._report(offer.execution, claim)

        def detached() -> None:
            run = self._runs[key]
            run.detached = True
            run.let_go()

        await hold(offer, run_id, self._pace, append, detached)

    async def _outcome(self, offer: Offer, run_id: str) -> Report:
        """The worker's boundary: whatever goes wrong with this block becomes its outcome."""
        try:
            plan = await self._plans.plan(offer)
            return await self._block(plan=plan, offer=offer, run_id=run_id)
        except ToolError as error:
            return broken(offer, run_id, Error(kind=error.kind, message=error.message, code=error.code))
        except InfrastructureError as error:
            return _postponed(offer, run_id, error)
        except NoetlError as error:
            return broken(offer, run_id, Error(kind="server_error", message=str(error)))
        except Exception as fault:  # a fault of ours costs this block, never the worker
            trace = traceback.format_exc()[-TRACE_BYTES:]
            message = f"{type(fault).__name__}: {fault}; report this with the trace"
            return broken(offer, run_id, Error(kind="server_error", message=message, trace=trace))

    async def _conclude(self, offer: Offer, run_id: str, outcome: Report) -> None:
        """Report the outcome; one that cannot be written down is the block's failure."""
        try:
            await self._report(offer.execution, outcome)
        except (TypeError, ValueError) as fault:
            error = Error(
                kind="validation", message=f"the result cannot be recorded: {fault}", step=offer.block.step
            )
            await self._report(offer.execution, broken(offer, run_id, error))

    async def _report(self, execution: int, fact: BlockFact) -> None:
        """Append until it is durable: the outcome of a run is never dropped while its worker lives."""
        while True:
            try:
                return await self._facts.report(execution, fact)
            except InfrastructureError:
                await asyncio.sleep(self._pace.repeat_after)

    def _remember(self, key: Key) -> None:
        self._finished[key] = None
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)

    def stop_execution(self, execution: int) -> None:
        """A hint that an execution is over: what still runs for it is cancelled, its offers are dropped."""
        self._stopped[execution] = None
        if len(self._stopped) > REMEMBERED:
            self._stopped.popitem(last=False)
        for key, run in self._runs.items():
            if key[0] == execution:
                self._remember(key)
                run.task.cancel()

    def stop_block(self, execution: int, block: BlockId, attempt: int) -> None:
        """A hint that a block's attempts up to this one are no longer wanted."""
        for key, run in self._runs.items():
            if key[:2] == (execution, block) and key[2] <= attempt:
                self._remember(key)
                run.task.cancel()

    async def close(self) -> None:
        """Stop what runs, without a report, and take nothing more: the offers will be delivered again."""
        self._closed = True
        self._freed.set()
        tasks = [run.task for run in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def busy(self) -> int:
        """Slots in use."""
        return len(self._runs)


def _key(offer: Offer) -> Key:
    return offer.execution, offer.block, offer.attempt, offer.segment


def _postponed(offer: Offer, run_id: str, error: InfrastructureError) -> BlockFailed:
    """The platform failed outside any task: the block is offered again, unless that would lose the answer it waited for."""
    lasting = isinstance(error, DamagedResult)
    recorded = Error(kind="server_error", message=str(error), retryable=not lasting)
    failed = broken(offer, run_id, recorded)
    if lasting or offer.answered or offer.attempt >= POSTPONED:
        return failed
    return replace(failed, retry=Retry(after=POSTPONED_FOR, resume=offer.resume))
