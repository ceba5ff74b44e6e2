"""Iterations that come in one offer: run in turn in one slot, reported together, stopped one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from noetl_stream.adapters.fact_log import KafkaFactLog
from noetl_stream.core.events import (
    BlockClaimed,
    BlockCompleted,
    BlockFact,
    BlockFailed,
    BlockId,
    BlocksReported,
    CredentialUse,
)
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan
from noetl_stream.errors import InfrastructureError, ToolError
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call
from noetl_stream.wire.codec import decode_event, decode_offer, encode, encode_offer
from noetl_stream.wire.topics import Topics
from noetl_stream.worker.bundle import Bundle
from noetl_stream.worker.lease import Pace
from noetl_stream.worker.worker import Plans, Worker
from tests.memory import MemoryLog, MemoryPlans
from tests.worker.stage import Act, on_stage, tools_of
from tests.worker.test_worker import Gate, settled

TOPICS = Topics(partitions=1)
RECORD = 256 * 1024
CALM = Pace(repeat_after=0, report_after=60.0)

LOOP = (
    "- {{step: load, loop: {{in: {items}, spec: {spec}}}, tool: {{kind: act, say: '{{{{ item }}}}'{more}}}}}"
)
PARALLEL = "{mode: parallel, max_in_flight: 64, frame: {max_rows: 64}}"
TWO_LANES = "{mode: parallel, max_in_flight: 64, frame: {max_rows: 64, row_concurrency: 2}}"
SEQUENCE = "{frame: {max_rows: 64}}"


@dataclass(slots=True)
class Site:
    """A worker with one slot, the loop's first offer, and what came of it."""

    worker: Worker
    log: MemoryLog
    act: Act
    offer: Offer
    acked: list[int] = field(default_factory=list)

    async def take(self) -> None:
        await self.worker.accept(self.offer, lambda: self.acked.append(self.offer.block.iteration))

    async def ended(self) -> list[BlockFact | BlocksReported]:
        """The records of the log, once the slot is free."""
        while self.worker.busy:
            await settled()
        return self.records()

    def records(self) -> list[Any]:
        return [decode_event(r.value or b"") for r in self.log.records(TOPICS.events.name)]


def site(
    cache: Cache,
    does: Callable[[Call], Any] = lambda call: call.config.say,
    *,
    items: str = "[a, b, c]",
    spec: str = PARALLEL,
    more: str = "",
    pace: Pace = CALM,
    plans: Plans | None = None,
) -> Site:
    log, act = MemoryLog(), Act(does)
    stage = on_stage(LOOP.format(items=items, spec=spec, more=more), cache, act)
    worker = Worker(
        name="w",
        slots=1,
        plans=plans or MemoryPlans(stage.log.plan),
        tools=tools_of(act),
        cache=cache,
        facts=KafkaFactLog(log, TOPICS.events),
        pace=pace,
    )
    return Site(worker, log, act, decode_offer(encode_offer(stage.log.offer("load"))))


class Silent:
    """Plans of a catalog that does not answer."""

    async def plan(self, offer: Offer) -> Plan:
        raise InfrastructureError("the catalog does not answer")


def at_b(gate: Gate) -> Callable[[Call], Any]:
    """Work that waits at the item `b` until the gate opens."""

    async def does(call: Call) -> Any:
        return await gate(call) if call.config.say == "b" else call.config.say

    return does


def said_of(found: object) -> list[tuple[int, Any]]:
    """Each iteration of a report with its result, or its error's kind."""
    assert isinstance(found, BlocksReported)
    return [
        (fact.block.iteration, fact.result if isinstance(fact, BlockCompleted) else fact.error.kind)
        for fact in found.facts
        if isinstance(fact, BlockCompleted | BlockFailed)
    ]


async def test_what_came_together_is_run_in_turn_and_reported_in_one_record(cache: Cache) -> None:
    here = site(cache)
    await here.take()

    (report,) = await here.ended()

    assert said_of(report) == [(0, "a"), (1, "b"), (2, "c")]
    assert (here.act.said, here.acked) == (["a", "b", "c"], [0])


async def test_one_that_fails_takes_no_other_along(cache: Cache) -> None:
    def does(call: Call) -> Any:
        if call.config.say == "b":
            raise ToolError("no", kind="client_error")
        return call.config.say

    here = site(cache, does)
    await here.take()

    (report,) = await here.ended()

    assert said_of(report) == [(0, "a"), (1, "client_error"), (2, "c")]


async def test_so_many_at_once_as_the_author_says(cache: Cache) -> None:
    under_way, most = 0, 0

    async def does(call: Call) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return call.config.say

    here = site(cache, does, items="[a, b, c, d, e]", spec=TWO_LANES)
    await here.take()

    (report,) = await here.ended()

    assert most == 2
    assert sorted(said_of(report)) == list(enumerate("abcde"))


async def test_no_record_is_larger_than_a_record_may_be(cache: Cache) -> None:
    def does(call: Call) -> Any:
        raise ValueError("x" * 10_000)

    here = site(cache, does, items="'{{ 40 }}'")
    await here.take()

    reports = await here.ended()

    sizes = [len(record.value or b"") for record in here.log.records(TOPICS.events.name)]
    assert [n for each in reports for n, _ in said_of(each)] == list(range(40))
    assert len(reports) > 1
    assert max(sizes) < RECORD


async def test_credentials_that_were_used_count_too(cache: Cache) -> None:
    spec = "{mode: parallel, max_in_flight: 1000, frame: {max_rows: 1000}}"
    offer = site(cache, items="'{{ 600 }}'", spec=spec).offer
    uses = tuple(CredentialUse(alias=f"credential_{n}", provider="keychain") for n in range(20))
    sizes: list[int] = []

    async def tell(report: BlockFact | BlocksReported) -> None:
        sizes.append(len(encode(report)))

    bundle = Bundle(offer, "w/1", tell, CALM)
    for life in bundle.lives:
        await bundle.add(
            BlockCompleted(
                block=life.block, attempt=0, segment=0, run="w/1", result="x", time=0.0, credentials=uses
            )
        )
    await bundle.flush()

    assert len(bundle.lives) == 600
    assert max(sizes) < RECORD


async def test_what_takes_its_time_is_reported_as_it_ends(cache: Cache) -> None:
    here = site(cache, pace=Pace(report_after=0.0))
    await here.take()

    found = await here.ended()

    assert [(type(each), each.block.iteration) for each in found if isinstance(each, BlockCompleted)] == [
        (BlockCompleted, n) for n in range(3)
    ]


async def test_a_sequence_is_reported_whole_however_long_it_takes(cache: Cache) -> None:
    here = site(cache, spec=SEQUENCE, pace=Pace(report_after=0.0))
    await here.take()

    (report,) = await here.ended()

    assert said_of(report) == [(0, "a"), (1, "b"), (2, "c")]


async def test_a_long_bundle_claims_all_that_is_not_reported(cache: Cache) -> None:
    gate = Gate()
    here = site(cache, at_b(gate), pace=Pace(detach_after=0.0, report_after=60.0))
    await here.take()
    await gate.began.wait()
    while not here.acked:
        await settled()
    claimed = here.records()[0]
    gate.open.set()
    await here.ended()

    assert isinstance(claimed, BlocksReported)
    assert [(type(fact), fact.block.iteration) for fact in claimed.facts] == [
        (BlockClaimed, n) for n in range(3)
    ]
    assert len({fact.renew_by for fact in claimed.facts if isinstance(fact, BlockClaimed)}) == 1
    assert said_of(here.records()[-1]) == [(0, "a"), (1, "b"), (2, "c")]


@pytest.mark.parametrize("stopped", ["a", "b", "c"])
async def test_one_that_nobody_wants_any_more_is_stopped_alone(cache: Cache, stopped: str) -> None:
    gate = Gate()
    here = site(cache, at_b(gate))
    await here.take()
    await gate.began.wait()

    here.worker.stop_block(here.offer.execution, BlockId("load", 0, "abc".index(stopped)), 0)
    if stopped != "b":
        gate.open.set()
    (report,) = await here.ended()

    left = [(0, "a"), (1, "b"), (2, "c")]
    assert said_of(report) == [each for each in left if stopped == "a" or each[1] != stopped]
    assert here.acked == [0]


async def test_in_sequence_nothing_runs_after_one_that_is_to_be_retried(cache: Cache) -> None:
    def does(call: Call) -> Any:
        if call.config.say == "b":
            raise ToolError("later", kind="connection", retryable=True)
        return call.config.say

    here = site(cache, does, spec=SEQUENCE, more=", retry: {max_attempts: 2, delay: 60}")
    await here.take()

    (report,) = await here.ended()

    assert said_of(report) == [(0, "a"), (1, "connection")]
    assert here.act.said == ["a", "b"]


@pytest.mark.parametrize(("more", "ran"), [("", "ab"), (", policy: {on_error: continue}", "abc")])
async def test_in_sequence_a_failure_is_the_end_unless_the_loop_goes_on(
    cache: Cache, more: str, ran: str
) -> None:
    def does(call: Call) -> Any:
        if call.config.say == "b":
            raise ToolError("no", kind="client_error")
        return call.config.say

    here = site(cache, does, spec=f"{{frame: {{max_rows: 64}}{more}}}")
    await here.take()
    await here.ended()

    assert "".join(here.act.said) == ran


async def test_an_offer_that_cannot_be_opened_fails_each_of_its_iterations(cache: Cache) -> None:
    here = site(cache, plans=Silent())
    await here.take()

    (report,) = await here.ended()

    assert said_of(report) == [(n, "server_error") for n in range(3)]
    assert isinstance(report, BlocksReported)
    assert all(isinstance(fact, BlockFailed) and fact.retry for fact in report.facts)
