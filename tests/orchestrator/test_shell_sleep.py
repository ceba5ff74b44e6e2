"""Executions that wait for long leave memory and come back as they were."""

from __future__ import annotations

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import BlockId, BlockParked, CancelRequested, Sleep
from noetl_stream.orchestrator import checkpointing
from tests.orchestrator.seat import House
from tests.worker.stage import plan_of

TWO = "- {step: one, tool: {kind: noop}, next: two}\n- {step: two, tool: {kind: noop}}\n"


@pytest.fixture
def house(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> House:
    """Every calm moment is one for a round of checkpoints."""
    monkeypatch.setattr(checkpointing, "RECORDS", 1)
    return House(plan_of(TWO), LocalCache(tmp_path))  # type: ignore[arg-type]


def park(house: House, execution: int, until: float) -> None:
    house.write(
        BlockParked(
            block=BlockId("one", 0, 0),
            attempt=0,
            segment=0,
            run="r",
            wait=Sleep(until=until),
            time=house.log.now,
        ),
        execution,
    )


async def asleep(house: House, key: str = "k", until: float = 3_600.0) -> int:
    """An execution that sleeps until `until` seconds from now, and whose partition saw two rounds go by."""
    execution = house.request(key)
    await house.settled()
    park(house, execution, house.log.now + until)
    await house.settled()
    for other in ("x", "y", "z"):
        busy = house.request(f"{key}/{other}")
        await house.settled()
        for step in ("one", "two"):
            house.complete(busy, step)
            await house.settled()
    assert execution in house.shell._seats[0].owner.asleep
    return execution


async def test_an_execution_that_nothing_concerned_for_a_round_leaves_memory(house: House) -> None:
    await house.taken()

    execution = await asleep(house)

    assert execution not in house.shell._seats[0].owner.state.machines
    assert house.shell.open_executions == 1


async def test_a_sleeper_wakes_for_its_timer_and_goes_on(house: House) -> None:
    await house.taken()
    execution = await asleep(house, until=60.0)
    before = len(house.offers)

    house.log.now += 61.0
    house.request("a nudge")
    await house.settled()

    offered = [offer for offer in house.offers[before:] if offer.execution == execution]
    assert [(offer.block.step, offer.segment) for offer in offered] == [("one", 1)]


async def test_a_sleeper_wakes_for_a_fact(house: House) -> None:
    await house.taken()
    execution = await asleep(house)

    house.write(CancelRequested(time=house.log.now), execution)
    await house.settled()

    assert house.endings()[-1].status == "CANCELLED"
    assert house.shell.open_executions == 0


async def test_a_request_that_comes_again_meets_the_sleeper_and_not_a_new_execution(house: House) -> None:
    await house.taken()
    execution = await asleep(house)
    before = len(house.offers)

    assert house.request("k") == execution
    await house.settled()

    assert house.held() == house.folded()
    assert house.offers[before:] == []


async def test_another_owner_restores_a_sleeper(house: House) -> None:
    """Its checkpoint is older than the marker, which counts it among the open ones."""
    await house.taken()
    execution = await asleep(house)

    await house.killed()

    assert execution in house.shell._seats[0].owner.state.machines
    assert house.held() == house.folded()


async def test_a_sleeper_is_no_ended_execution_whose_checkpoint_may_go(house: House) -> None:
    await house.taken()

    execution = await asleep(house)

    assert execution in house.shelf.machines
