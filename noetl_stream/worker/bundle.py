"""The iterations of one offer in a slot: run in turn, reported together, and no more of them than a record holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

from noetl_stream.core.events import (
    BlockClaimed,
    BlockCompleted,
    BlockContested,
    BlockFact,
    BlockFailed,
    BlockId,
    BlockParked,
    BlocksReported,
    Report,
)
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Loop
from noetl_stream.core.run import json_size
from noetl_stream.core.values import Value
from noetl_stream.worker.failing import unrecorded
from noetl_stream.worker.lease import Pace

Tell: TypeAlias = Callable[[BlockFact | BlocksReported], Awaitable[None]]
"""Returns once it is durable. Raises TypeError or ValueError for what cannot be written down."""

REPORT_BYTES = 160 * 1024
"""Outcomes that are reported together weigh no more, by estimate: a record stays below 256 KiB."""
HEAD_BYTES = 300
"""What an outcome weighs beside its values and its credentials."""
USE_BYTES = 64
"""What one of its credentials weighs."""


class Bundle:
    """`lives` are the offer's iterations. Most offers have one."""

    def __init__(self, offer: Offer, run_id: str, tell: Tell, pace: Pace) -> None:
        self.offer, self.run_id, self._tell, self._pace = offer, run_id, tell, pace
        self.lives = lives_of(offer)
        self._left: dict[BlockId, Offer] = {life.block: life for life in self.lives}
        self._under_way: dict[BlockId, asyncio.Task[None] | None] = {}
        self._unwanted: set[BlockId] = set()
        self._ended: list[Report] = []
        self._bytes, self._since, self._sending = 0, time.monotonic(), asyncio.Lock()

    async def run(self, one: Callable[[Offer], Awaitable[Report]], loop: Loop | None, lanes: int) -> None:
        """Run them, `lanes` at a time; in sequence none after one that did not end well."""
        left = iter(self.lives)
        if lanes == 1:
            await self._lane(left, one, loop)
            return
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(self._lane(left, one, loop))

    async def _lane(
        self, left: Iterator[Offer], one: Callable[[Offer], Awaitable[Report]], loop: Loop | None
    ) -> None:
        for number, life in enumerate(left):
            # Iterations that never wait must not keep the worker from its heartbeats.
            if number:
                await asyncio.sleep(0)
            outcome = await self._one(one, life)
            if outcome is not None:
                await self.add(outcome)
            if loop is None or loop.parallel:
                await self._tell_progress()
            elif outcome is None or stops(loop, outcome):
                return

    async def _tell_progress(self) -> None:
        """What has waited long enough is reported, where it does not matter what becomes of the others: a later run of a
        sequence may stop earlier, and must find all that came along still in flight."""
        if len(self.lives) > 1 and time.monotonic() - self._since > self._pace.report_after:
            await self.flush()

    async def _one(self, one: Callable[[Offer], Awaitable[Report]], life: Offer) -> Report | None:
        """An iteration's outcome; None for one that nobody wants any more."""
        if life.block in self._unwanted:
            return None
        task = self._under_way[life.block] = asyncio.current_task()
        try:
            return await one(life)
        except asyncio.CancelledError:
            if task is None or life.block not in self._unwanted or task.uncancel():
                raise
            return None
        finally:
            del self._under_way[life.block]

    def stop(self, block: BlockId) -> None:
        """One of the iterations is no longer wanted: it ends without an outcome, the others go on."""
        if block not in self._left or block in self._unwanted:
            return
        self._unwanted.add(block)
        if (task := self._under_way.get(block)) is not None:
            task.cancel()

    async def add(self, outcome: Report) -> None:
        """Keep an outcome for the report; what is full is reported first."""
        weight = _weight(outcome)
        if self._bytes + weight > REPORT_BYTES:
            await self.flush()
        self._ended.append(outcome)
        self._bytes += weight

    async def flush(self) -> None:
        """Report what has ended; returns once it is durable."""
        async with self._sending:
            ended, self._ended, self._bytes = self._ended, [], 0
            if ended:
                await self._conclude(ended)
            for outcome in ended:
                del self._left[outcome.block]
            self._since = time.monotonic()

    async def _conclude(self, ended: list[Report]) -> None:
        try:
            await self._tell(together(ended))
        except (TypeError, ValueError) as fault:
            if len(ended) == 1:
                await self._tell(unrecorded(fault, ended[0]))
                return
            for outcome in ended:
                await self._conclude([outcome])

    async def claim(self) -> None:
        """All that is not reported yet is held by this run, in one record: it falls due together."""
        now = time.time()
        claims = [_claim(life, self.run_id, now, self._pace.lease) for life in self._left.values()]
        if claims:
            await self._tell(together(claims))


def together(facts: list[BlockClaimed] | list[Report]) -> BlockFact | BlocksReported:
    """Facts as one record; a lone one as it is."""
    return facts[0] if len(facts) == 1 else BlocksReported(facts=tuple(facts))


def lives_of(offer: Offer) -> tuple[Offer, ...]:
    """An offer's iterations, each as an offer of its own; several come without their items."""
    if offer.count == 1:
        return (offer,)
    first, row = offer.block.iteration, offer.row
    return tuple(
        replace(offer, block=offer.block._replace(iteration=first + n), row=row + n, count=1, item=None)
        for n in range(offer.count)
    )


def with_item(life: Offer, opened: Offer) -> Offer:
    """An iteration with all that its offer brought, once that is at hand."""
    if opened.count == 1:
        return opened
    number = life.block.iteration - opened.block.iteration
    item = opened.item if opened.items is not None else opened.item[number]
    return replace(opened, block=life.block, row=life.row, count=1, item=item)


def stops(loop: Loop, outcome: Report) -> bool:
    """Whether a sequential loop goes no further for now: what follows is offered again once this has ended well."""
    if loop.parallel:
        return False
    match outcome:
        case BlockCompleted():
            return False
        case BlockParked() | BlockContested():
            return True
        case BlockFailed():
            return outcome.retry is not None or loop.on_error == "fail"


def _weight(outcome: Report) -> int:
    return HEAD_BYTES + USE_BYTES * len(outcome.credentials) + sum(map(json_size, _values(outcome)))


def _values(outcome: Report) -> Iterator[Value]:
    match outcome:
        case BlockCompleted():
            yield from (outcome.result, outcome.writes, outcome.http, outcome.findings)
        case BlockFailed():
            yield from (outcome.result, outcome.writes, outcome.http, outcome.findings)
            yield [outcome.error.message, outcome.error.trace, outcome.retry and outcome.retry.resume]
        case BlockParked():
            yield from (outcome.writes, outcome.resume)
        case BlockContested():
            yield outcome.task


def _claim(life: Offer, run_id: str, now: float, lease: float) -> BlockClaimed:
    return BlockClaimed(
        block=life.block,
        attempt=life.attempt,
        segment=life.segment,
        run=run_id,
        renew_by=now + lease,
        time=now,
    )
