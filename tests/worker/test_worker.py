"""Slots: what a worker takes, when it lets an offer go, and what it leaves to the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from noetl_stream.adapters.fact_log import KafkaFactLog
from noetl_stream.core.events import BlockClaimed, BlockCompleted, BlockFailed, BlockId
from noetl_stream.core.messages import Offer
from noetl_stream.core.values import Ref
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call
from noetl_stream.wire.codec import decode_event
from noetl_stream.wire.topics import Topics
from noetl_stream.worker.lease import Pace
from noetl_stream.worker.worker import Worker
from tests.memory import MemoryLog, MemoryPlans
from tests.worker.stage import Act, on_stage, plan_of, tools_of

TOPICS = Topics(partitions=1)
QUICK = Pace(detach_after=0, lease=0.003, repeat_after=0)


@dataclass(slots=True)
class Gate:
    """A tool's work that ends when its test says so."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, call: Call) -> Any:
        self.began.set()
        await self.open.wait()
        return call.config.say


@dataclass(slots=True)
class Shop:
    """A worker over a log in memory. `acked` are the offers it has let go, by iteration."""

    worker: Worker
    log: MemoryLog
    act: Act
    acked: list[int] = field(default_factory=list)

    async def accept(self, offer: Offer) -> None:
        await self.worker.accept(offer, self.ack(offer))

    def ack(self, offer: Offer) -> Callable[[], None]:
        return lambda: self.acked.append(offer.block.iteration)

    async def facts(self, count: int) -> list[Any]:
        """The first facts of the log, once so many stand there; then whatever was waiting for them goes on."""
        found = [decode_event(r.value or b"") async for r in self.log.read(TOPICS.events.name, 0, 0, count)]
        await settled()
        return found


async def settled() -> None:
    """Everything that can go on without waiting has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


def offer(iteration: int = 0, **more: Any) -> Offer:
    plan = plan_of("- {step: load, tool: {kind: act, say: 1}}")
    stage = on_stage("- {step: load, tool: {kind: act, say: 1}}", None, Act())  # type: ignore[arg-type]
    first = replace(stage.log.offer("load"), digest=plan.digest)
    return replace(first, block=BlockId("load", 0, iteration), **more)


def shop(
    cache: Cache, does: Any = lambda call: call.config.say, slots: int = 2, pace: Pace | None = None
) -> Shop:
    log, act = MemoryLog(), Act(does)
    worker = Worker(
        name="w",
        slots=slots,
        plans=MemoryPlans(plan_of("- {step: load, tool: {kind: act, say: 1}}")),
        tools=tools_of(act),
        cache=cache,
        facts=KafkaFactLog(log, TOPICS.events),
        pace=pace or Pace(repeat_after=0),
    )
    return Shop(worker, log, act)


async def test_an_outcome_is_durable_before_its_offer_is_acknowledged(cache: Cache) -> None:
    here = shop(cache)
    here.log.held = True
    await here.accept(offer())
    await here.facts(1)
    assert here.acked == []

    here.log.release()
    await settled()

    assert here.acked == [0]
    assert here.worker.busy == 0


async def test_a_full_worker_stops_reading_until_a_slot_is_free(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate)
    for iteration in range(2):
        await here.accept(offer(iteration))
    third = asyncio.ensure_future(here.accept(offer(2)))
    await settled()
    assert (third.done(), here.worker.busy) == (False, 2)

    gate.open.set()
    await third
    await here.facts(3)

    assert sorted(here.acked) == [0, 1, 2]


async def test_slots_that_get_free_are_taken_by_whoever_waits(cache: Cache) -> None:
    here = shop(cache, slots=1)

    await asyncio.gather(*(here.accept(offer(n)) for n in range(20)))
    await here.facts(20)

    assert sorted(here.acked) == list(range(20))


async def test_an_offer_seen_again_while_it_runs_joins_that_run(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate)
    await here.accept(offer())
    await here.accept(offer())
    await settled()
    assert (here.acked, here.worker.busy) == ([], 1)

    gate.open.set()
    await here.facts(1)

    assert here.acked == [0, 0]
    assert len(here.act.calls) == 1


async def test_an_offer_seen_again_after_its_outcome_is_acknowledged_at_once(cache: Cache) -> None:
    here = shop(cache)
    await here.accept(offer())
    await here.facts(1)

    await here.accept(offer())

    assert here.acked == [0, 0]
    assert len(here.act.calls) == 1


@pytest.mark.parametrize("life", [{"attempt": 1}, {"segment": 1}, {"execution": 9}])
async def test_another_life_of_a_block_is_another_run(cache: Cache, life: dict[str, int]) -> None:
    here = shop(cache)
    await here.accept(offer())
    await here.facts(1)

    await here.accept(offer(**life))
    await here.facts(2)

    assert len(here.act.calls) == 2


async def test_a_long_block_claims_itself_and_lets_its_offer_go(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate, pace=QUICK)
    await here.accept(offer())

    first, second = await here.facts(2)

    assert (type(first), type(second), here.acked) == (BlockClaimed, BlockClaimed, [0])
    assert first.run == second.run
    assert second.renew_by > first.renew_by
    await here.accept(offer())
    assert here.acked == [0, 0]

    gate.open.set()
    while here.worker.busy:
        await settled()
    assert isinstance(decode_event(here.log.records(TOPICS.events.name)[-1].value or b""), BlockCompleted)
    assert len(here.act.calls) == 1


async def test_a_claim_that_does_not_land_lets_nothing_go(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate, pace=QUICK)
    here.log.held = True
    await here.accept(offer())
    await here.facts(1)
    assert here.acked == []

    await here.worker.close()


async def test_an_outcome_is_reported_until_it_is_durable(cache: Cache) -> None:
    here = shop(cache)
    here.log.fates.extend(["is lost", "is refused", "lands unheard", "lands"])

    await here.accept(offer())
    facts = await here.facts(2)

    assert facts[0] == facts[1]
    assert here.acked == [0]
    assert len(here.act.calls) == 1


async def test_stopping_an_execution_cancels_what_runs_and_lets_it_go(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate)
    await here.accept(offer())
    await gate.began.wait()

    here.worker.stop_execution(offer().execution)
    await settled()

    assert (here.acked, here.worker.busy) == ([0], 0)
    await here.accept(offer(1))
    assert here.acked == [0, 1]
    assert here.log.records(TOPICS.events.name) == []


async def test_stopping_a_block_lets_go_of_its_attempts_so_far_and_of_nothing_else(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate)
    await here.accept(offer())
    await gate.began.wait()

    here.worker.stop_block(offer().execution, BlockId("other", 0, 0), 0)
    here.worker.stop_block(9, offer().block, 0)
    await settled()
    assert (here.acked, here.worker.busy) == ([], 1)
    here.worker.stop_block(offer().execution, offer().block, 0)
    await settled()

    assert (here.acked, here.worker.busy) == ([0], 0)
    await here.accept(offer())
    assert here.acked == [0, 0]
    await here.accept(replace(offer(), attempt=1))
    gate.open.set()
    await here.facts(1)


async def test_an_execution_that_ends_at_once_costs_no_slot(cache: Cache) -> None:
    """The hint overtakes the run's very first step."""
    here = shop(cache, slots=1)
    await here.accept(offer())
    here.worker.stop_execution(offer().execution)
    await settled()
    assert (here.acked, here.worker.busy) == ([0], 0)

    await here.accept(offer(execution=9))
    await here.facts(1)

    assert here.acked == [0, 0]


async def test_an_offer_that_waits_for_a_slot_is_dropped_if_its_execution_ends(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate, slots=1)
    await here.accept(offer(execution=9))
    waiting = asyncio.ensure_future(here.accept(offer(1)))
    await settled()

    here.worker.stop_execution(offer().execution)
    gate.open.set()
    await waiting

    await settled()
    assert sorted(here.acked) == [0, 1]
    assert len(here.act.calls) == 1


async def test_an_overheard_offer_begins_at_once_and_its_delivery_joins(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate)
    here.worker.overhear(offer())
    await gate.began.wait()

    await here.accept(offer())
    gate.open.set()
    await here.facts(1)

    assert here.acked == [0]
    assert len(here.act.calls) == 1


async def test_an_overheard_offer_that_ended_is_found_finished(cache: Cache) -> None:
    here = shop(cache)
    here.worker.overhear(offer())
    await here.facts(1)

    await here.accept(offer())

    assert here.acked == [0]
    assert len(here.act.calls) == 1


async def test_a_full_worker_overhears_nothing(cache: Cache) -> None:
    here = shop(cache, Gate(), slots=1)
    await here.accept(offer())

    here.worker.overhear(offer(1))

    assert here.worker.busy == 1
    await here.worker.close()


async def test_closing_leaves_what_runs_and_what_waits_to_be_delivered_again(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate, slots=1)
    await here.accept(offer())
    waiting = asyncio.ensure_future(here.accept(offer(1)))
    await gate.began.wait()

    await here.worker.close()
    await waiting
    here.worker.overhear(offer(2))

    assert (here.acked, here.worker.busy, here.log.records(TOPICS.events.name)) == ([], 0, [])


async def test_a_playbook_that_cannot_be_had_fails_the_block_with_the_reason(cache: Cache) -> None:
    here = shop(cache)
    await here.accept(offer(digest="another"))

    [failed] = await here.facts(1)

    assert isinstance(failed, BlockFailed)
    assert "the catalog has no sales version 1" in failed.error.message


async def test_a_value_that_is_gone_fails_the_block_and_is_named(cache: Cache) -> None:
    gone = Ref(uri="cache:7/load/0/0/0/result-0123456789abcdef.json", bytes=9, sha256="", format="json")
    here = shop(cache)
    await here.accept(offer(results={"before": gone}))

    [failed] = await here.facts(1)

    assert (failed.error.kind, failed.error.code) == ("client_error", "gone")
    assert "result-0123456789abcdef.json is gone" in failed.error.message


async def test_a_fault_of_ours_costs_its_block_and_no_more(cache: Cache) -> None:
    here = shop(cache)
    await here.accept(offer(resume={"broken": "notes"}))

    [failed] = await here.facts(1)

    assert failed.error.kind == "server_error"
    assert "report this with the trace" in failed.error.message
    assert (here.acked, here.worker.busy) == ([0], 0)


async def queued(here: Shop, *priorities: str | None) -> list[asyncio.Future[None]]:
    """Offers that wait for a slot of a full worker, in their order of arrival."""
    found = list[asyncio.Future[None]]()
    for iteration, priority in enumerate(priorities, start=1):
        found.append(asyncio.ensure_future(here.accept(offer(iteration, priority=priority))))
        await settled()
    return found


async def test_a_slot_that_gets_free_is_for_the_most_urgent_offer_that_waits(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate, slots=1)
    await here.accept(offer())
    waiting = await queued(here, "low", None, "high", "normal", "low", "high")

    gate.open.set()
    await asyncio.gather(*waiting)
    await here.facts(7)

    assert [here.acked[0], *(sorted(here.acked[n : n + 2]) for n in (1, 3, 5))] == [0, [3, 6], [2, 4], [1, 5]]


async def test_a_high_offer_passes_all_the_low_ones_that_have_no_slot(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate, slots=1)
    await here.accept(offer())
    waiting = await queued(here, *["low"] * 50, "high")

    gate.open.set()
    await asyncio.gather(*waiting)
    await here.facts(52)

    assert here.acked[:2] == [0, 51]
    assert sorted(here.acked) == list(range(52))


async def test_a_high_offer_that_needs_no_slot_leaves_it_to_the_low_one(cache: Cache) -> None:
    """Its execution ended while it waited: whoever waits behind it hears that the slot is still free."""
    gate = Gate()
    here = shop(cache, gate, slots=1)
    await here.accept(offer())
    high = asyncio.ensure_future(here.accept(offer(1, execution=9, priority="high")))
    low = asyncio.ensure_future(here.accept(offer(2, priority="low")))
    await settled()

    here.worker.stop_execution(9)
    gate.open.set()
    await asyncio.wait_for(asyncio.gather(low, high), 5)
    await here.facts(2)

    assert sorted(here.acked) == [0, 1, 2]


async def test_an_offer_of_this_process_does_not_pass_those_that_wait(cache: Cache) -> None:
    gate = Gate()
    here = shop(cache, gate, slots=1)
    await here.accept(offer())
    (waiting,) = await queued(here, "low")

    gate.open.set()
    here.worker.overhear(offer(7))
    await waiting
    await here.facts(2)

    assert here.acked == [0, 1]
