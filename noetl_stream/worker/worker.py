"""The worker: takes offers into a bounded set of slots, runs each once, and reports before it lets go.

It holds nothing that the log does not: killed at any instruction, its offers are delivered again to another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeAlias

from noetl_stream.core.counts import count_of
from noetl_stream.core.events import BlockFact, BlockId, BlocksReported, Report
from noetl_stream.core.lanes import LANES, Priority, lane_of
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan
from noetl_stream.errors import InfrastructureError
from noetl_stream.ports.credentials import Credentials
from noetl_stream.ports.facts import FactLog
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Tool
from noetl_stream.worker.block import opened, run_opened
from noetl_stream.worker.bundle import Bundle, with_item
from noetl_stream.worker.credentials import FROM_DOCUMENT
from noetl_stream.worker.failing import failed_by
from noetl_stream.worker.items import Collections
from noetl_stream.worker.lease import USUAL, Pace, hold

log = logging.getLogger(__name__)

Key: TypeAlias = tuple[int, BlockId, int, int]
"""(execution, block, attempt, segment): one life of a block."""
REMEMBERED = 10_000
"""Finished lives kept in memory, to drop offers that come again: it saves work, nothing rests on it."""


class Plans(Protocol):
    """The playbooks a worker can run."""

    async def plan(self, offer: Offer) -> Plan:
        """The plan an offer pins. Raises NoetlError if it cannot be had within a bounded wait."""
        ...


@dataclass(slots=True)
class Run:
    """A block in a slot, and whom to tell when its offer may be forgotten."""

    bundle: Bundle
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
        self._name, self._pace, self._plans, self._facts, self._cache = name, pace, plans, facts, cache
        self._block = partial(
            run_opened, tools=tools, cache=cache, credentials=credentials, collections=Collections(cache)
        )
        self._left, self._freed = slots, asyncio.Event()
        self._waiting = Counter[Priority]()
        self._runs: dict[Key, Run] = {}
        self._finished: OrderedDict[Key, None] = OrderedDict()
        self._stopped: OrderedDict[int, None] = OrderedDict()
        self._count, self._closed = 0, False

    async def accept(self, offer: Offer, done: Callable[[], None]) -> None:
        """Take an offer; returns when it has a slot, so that a full worker stops reading. `done` is called once the
        offer may be forgotten: its outcome is durable, or the block holds itself by a claim.

        Offers wait in lanes: a slot that gets free is for the most urgent of those that wait.
        """
        key, lane = _key(offer), lane_of(offer.priority)
        self._waiting[lane] += 1
        try:
            while not self._known(key, done):
                if self._left > self._before(lane):
                    self._begin(key, offer).done.append(done)
                    return
                self._freed.clear()
                await self._freed.wait()
        finally:
            self._waiting[lane] -= 1
            self._freed.set()

    def _before(self, lane: Priority) -> int:
        """How many wait in more urgent lanes."""
        return sum(self._waiting[each] for each in LANES[: LANES.index(lane)])

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
        if self._left > self._waiting.total() and not known and not self._closed:
            self._begin(key, offer)

    def _begin(self, key: Key, offer: Offer) -> Run:
        self._left -= 1
        self._count += 1
        run_id = f"{self._name}/{self._count}"
        bundle = Bundle(offer, run_id, partial(self._report, offer.execution), self._pace)
        run = self._runs[key] = Run(bundle, asyncio.create_task(self._run(key, bundle)))
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

    async def _run(self, key: Key, bundle: Bundle) -> None:
        async with asyncio.TaskGroup() as group:
            lease = group.create_task(self._hold(key, bundle))
            await self._work(bundle)
            lease.cancel()
        await bundle.flush()
        self._remember(key)

    async def _hold(self, key: Key, bundle: Bundle) -> None:
        def detached() -> None:
            run = self._runs[key]
            run.detached = True
            run.let_go()

        await hold(self._pace, bundle.claim, detached)

    async def _work(self, bundle: Bundle) -> None:
        """Run what an offer brought. Whatever is wrong with the offer is so for each of its iterations."""
        try:
            plan = await self._plans.plan(bundle.offer)
            offer = await opened(plan, bundle.offer, self._cache)
        except Exception as fault:  # a fault of ours costs these blocks, never the worker
            for life in bundle.lives:
                await bundle.add(failed_by(fault, life, bundle.run_id))
            return
        loop = plan.steps[offer.block.step].loop
        lanes = (
            count_of(loop.row_concurrency, offer.workload)
            if offer.count > 1 and loop and loop.parallel
            else 1
        )
        await bundle.run(partial(self._outcome, plan, offer, bundle.run_id), loop, lanes)

    async def _outcome(self, plan: Plan, offer: Offer, run_id: str, life: Offer) -> Report:
        """The worker's boundary: whatever goes wrong with this block becomes its outcome."""
        try:
            return await self._block(plan=plan, offer=with_item(life, offer), run_id=run_id)
        except Exception as fault:  # a fault of ours costs this block, never the worker
            return failed_by(fault, life, run_id)

    async def _report(self, execution: int, fact: BlockFact | BlocksReported) -> None:
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
            if key[0] != execution or key[2] > attempt:
                continue
            if key[1] == block and run.bundle.offer.count == 1:
                self._remember(key)
                run.task.cancel()
            else:
                run.bundle.stop(block)

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
