"""A fork: a new execution that takes along the past of another one, and what comes of it. Told by a real orchestrator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core import forking
from noetl_stream.core.events import BlockCompleted, BlockFailed, CancelRequested, ExecutionRequested
from noetl_stream.core.messages import Offer
from noetl_stream.core.snapshot import state_hash
from noetl_stream.core.values import Error, Ref, Value, unmarked
from noetl_stream.errors import InvalidRequest
from noetl_stream.ids import execution_id
from noetl_stream.replay.parting import Parting, part
from noetl_stream.replay.telling import ALWAYS, state_at, story_of
from noetl_stream.worker.hydrate import hydrate
from tests.orchestrator.seat import TOPICS, House
from tests.worker.stage import plan_of

STEPS = """
- step: first
  tool: {kind: noop}
  next: load
- step: load
  loop: {in: "{{ workload.n | default(4) }}", iterator: i, spec: {mode: parallel, max_in_flight: 2000, policy: {on_error: continue}}}
  tool: {kind: noop}
  next: last
- step: last
  tool: {kind: noop}
"""
FAILING = STEPS.replace("continue", "fail").replace("2000", "1")
RESCUED = """
policy: {on_failure: {step: rescue}}
workflow:
- {step: first, tool: {kind: noop}, next: [bad, each]}
- {step: bad, tool: {kind: noop}}
- {step: each, loop: {in: [a, b, c], iterator: it}, tool: {kind: noop}}
- {step: rescue, tool: {kind: noop}}
"""
Work = Callable[[Offer], Value]


class Bad(Exception):
    """What a tool here raises."""


class Crew:
    """Workers that answer every offer once, with what `work` makes of it."""

    def __init__(self, house: House) -> None:
        self.house, self.seen = house, 0

    async def work(self, work: Work, *, leave: Callable[[Offer], bool] = lambda offer: False) -> None:
        """Until nothing is offered any more; what is left stays open."""
        await self.house.settled()
        while self.seen < len(self.house.offers):
            offers, self.seen = self.house.offers[self.seen :], len(self.house.offers)
            for offer in offers:
                if not leave(offer):
                    self.house.write(_outcome(offer, work), offer.execution)
            await self.house.settled()

    def offered(self, execution: int) -> list[str]:
        """The blocks that were offered, in order."""
        return [str(offer.block) for offer in self.house.offers if offer.execution == execution]


def _outcome(offer: Offer, work: Work) -> BlockCompleted | BlockFailed:
    life: dict[str, Any] = {"block": offer.block, "attempt": offer.attempt, "segment": offer.segment}
    try:
        return BlockCompleted(**life, run="r", result=work(offer), time=0.0)
    except Bad:
        return BlockFailed(**life, run="r", error=Error(kind="python", message="no"), time=0.0)


def named(offer: Offer) -> Value:
    return f"{offer.block}"


def failing(*blocks: str) -> Work:
    def work(offer: Offer) -> Value:
        if str(offer.block) in blocks:
            raise Bad
        return named(offer)

    return work


@pytest.fixture
async def house(tmp_path: object) -> House:
    return await House(plan_of(STEPS), LocalCache(tmp_path)).taken()  # type: ignore[arg-type]


async def parting(house: House, execution: int, address: str) -> Parting:
    found = await part(house.log, TOPICS, execution, address)
    assert found is not None
    return found


async def forked(house: House, execution: int, address: str, *, key: str = "k", **sets: Value) -> int:
    """The execution that a fork makes."""
    event = await request(house, execution, address, key=key, **sets)
    born = execution_id(bytes.fromhex(event.identity))
    house.write(event, born)
    await house.settled()
    return born


async def request(
    house: House, execution: int, address: str, *, key: str, **sets: Value
) -> ExecutionRequested:
    found = await parting(house, execution, address)
    return found.request(sets=sets, key=key, seed="other", now=house.log.now, actor="test")


async def results(house: House, execution: int) -> dict[str, Value]:
    state = await state_at(house.log, TOPICS, execution, ALWAYS)
    assert state is not None
    return {name: unmarked(await hydrate(house.cache, each)) for name, each in state.results.items()}


async def test_one_iteration_begins_anew_and_the_flow_goes_on_from_there(house: House) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(failing("load/0/2"))
    before = await results(house, execution)
    assert before["load"]["stats"] == {"total": 4, "success": 3, "failed": 1}

    fork = await forked(house, execution, "load[2]")
    await crew.work(lambda offer: "anew")

    assert crew.offered(fork) == ["load/0/2", "last/0/0"]
    after = await results(house, fork)
    assert after["first"] == before["first"]
    assert after["load"]["results"] == ["load/0/0", "load/0/1", "anew", "load/0/3"]
    assert after["load"]["stats"] == {"total": 4, "success": 4, "failed": 0}
    assert [end.status for end in house.endings()] == ["COMPLETED", "COMPLETED"]
    assert await results(house, execution) == before


async def test_a_step_is_entered_anew(house: House) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named)

    fork = await forked(house, execution, "last")
    await crew.work(lambda offer: "anew")

    assert crew.offered(fork) == ["last/0/0"]
    assert await results(house, fork) == (await results(house, execution)) | {"last": "anew"}


async def test_a_loop_is_entered_anew_with_other_inputs(house: House) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named)

    fork = await forked(house, execution, "load", n=2)
    await crew.work(named)

    assert crew.offered(fork) == ["load/0/0", "load/0/1", "last/0/0"]
    assert (await results(house, fork))["load"]["count"] == 2


async def test_inputs_are_laid_over_those_of_the_source(house: House) -> None:
    crew, execution = Crew(house), house.request(payload={"n": 1, "deep": {"a": 1, "b": 2}})
    await crew.work(named)

    fork = await forked(house, execution, "last", deep={"b": 3})

    state = await state_at(house.log, TOPICS, fork, ALWAYS)
    assert state is not None
    assert state.workload == {"n": 1, "deep": {"a": 1, "b": 3}}


async def test_a_fork_of_what_still_runs_begins_anew_what_is_in_flight(house: House) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named, leave=lambda offer: offer.block.iteration == 1)

    fork = await forked(house, execution, "load[3]")
    await crew.work(named)

    assert sorted(crew.offered(fork)[:2]) == ["load/0/1", "load/0/3"]
    assert (await results(house, fork))["load"]["stats"]["success"] == 4
    assert [end.status for end in house.endings()] == ["COMPLETED"]


async def test_a_loop_that_failed_goes_on_from_its_failure(tmp_path: object) -> None:
    house = await House(plan_of(FAILING), LocalCache(tmp_path)).taken()  # type: ignore[arg-type]
    crew, execution = Crew(house), house.request()
    await crew.work(failing("load/0/1"))
    assert [end.status for end in house.endings()] == ["FAILED"]

    fork = await forked(house, execution, "load[1]")
    await crew.work(named)

    assert crew.offered(fork) == ["load/0/1", "load/0/2", "load/0/3", "last/0/0"]
    assert [end.status for end in house.endings()] == ["FAILED", "COMPLETED"]


async def test_a_cancelled_execution_can_go_on(house: House) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named, leave=lambda offer: offer.block.step == "last")
    house.write(CancelRequested(time=0.0), execution)
    await house.settled()

    fork = await forked(house, execution, "last")
    await crew.work(named)

    assert [end.status for end in house.endings()] == ["CANCELLED", "COMPLETED"]
    assert crew.offered(fork) == ["last/0/0"]


async def test_the_same_key_is_the_same_fork(house: House) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named)

    forks = [await forked(house, execution, "last", key=key) for key in ("a", "a", "b")]
    await crew.work(named)

    assert forks[0] == forks[1] != forks[2]
    assert crew.offered(forks[0]) == ["last/0/0"]


@pytest.mark.slow
async def test_results_in_the_cache_are_shared_by_reference(house: House) -> None:
    """A loop of 1,500: its chunks were stored before its end. The fork's single new result stands beside the first."""
    crew, execution = Crew(house), house.request(payload={"n": 1_500})
    await crew.work(failing("load/0/17"))

    fork = await forked(house, execution, "load[17]")
    await crew.work(lambda offer: "anew")

    state = await state_at(house.log, TOPICS, fork, ALWAYS)
    assert state is not None
    ref = state.results["load"]
    assert isinstance(ref, Ref)
    assert [(each.first, each.count) for each in ref.elsewhere] == [
        (0, 1000),
        (1000, 1000),
        (17, 1),
    ]
    loaded = (await results(house, fork))["load"]
    assert loaded["stats"] == {"total": 1_500, "success": 1_500, "failed": 0}
    assert loaded["results"][16:19] == ["load/0/16", "anew", "load/0/18"]
    assert loaded["results"][1_499] == "load/0/1499"


@pytest.mark.slow
async def test_a_fork_can_be_forked_and_then_stands_on_both(house: House) -> None:
    crew, execution = Crew(house), house.request(payload={"n": 1_500})
    await crew.work(failing("load/0/17", "load/0/1117"))
    first = await forked(house, execution, "load[17]")
    await crew.work(lambda offer: "once")

    second = await forked(house, first, "load[1117]")
    await crew.work(lambda offer: "twice")

    loaded = (await results(house, second))["load"]
    assert (loaded["results"][17], loaded["results"][1_117]) == ("once", "twice")
    assert loaded["stats"]["failed"] == 0
    third = await forked(house, second, "load[17]")
    await crew.work(lambda offer: "thrice")
    assert (await results(house, third))["load"]["results"][17] == "thrice"


async def test_what_is_older_than_a_fork_is_forked_from_its_source(house: House) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named)
    fork = await forked(house, execution, "last")
    await crew.work(named)

    with pytest.raises(InvalidRequest) as refused:
        await parting(house, fork, "load[1]")

    assert str(refused.value) == (
        f"'load#0[1]' is older than execution {fork}, which was forked from {execution}; "
        f"fork that one: noetl-stream fork {execution} --from 'load#0[1]'"
    )


async def test_a_fork_is_replayed_from_its_own_log(house: House) -> None:
    """An owner that takes over comes to the same state as the log, and as one that never stopped."""
    crew, execution = Crew(house), house.request()
    await crew.work(named)
    fork = await forked(house, execution, "load[1]")
    await house.killed()
    await crew.work(named)

    assert house.held() == house.folded()
    hashes = {state_hash(await state_at(house.log, TOPICS, fork, ALWAYS)) for _ in range(2)}
    assert len(hashes) == 1


async def test_a_fork_tells_where_it_comes_from(house: House) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named)
    fork = await forked(house, execution, "load[1]")
    await crew.work(named)

    report = (await story_of(house.log, TOPICS, fork)).as_json({})

    assert report["forked_from"] == {
        "execution_id": str(execution),
        "address": "load#0[1]",
        "offset": (await parting(house, execution, "load[1]")).offset,
    }
    assert report["path"] == ["first", "load", "last"]
    assert {name: told["status"] for name, told in report["steps"].items()} == dict.fromkeys(
        ("first", "load", "last"), "done"
    )


async def test_a_fork_that_begins_after_a_failure_tells_of_what_was_given_up_there(tmp_path: object) -> None:
    house = await House(plan_of(RESCUED), LocalCache(tmp_path)).taken()  # type: ignore[arg-type]
    crew, execution = Crew(house), house.request()
    await crew.work(failing("bad/0/0"))
    fork = await forked(house, execution, "rescue")
    await crew.work(named)

    whole, report = [(await story_of(house.log, TOPICS, each)).as_json({}) for each in (execution, fork)]

    assert (report["path"], report["steps"]) == (whole["path"], whole["steps"])
    assert report["steps"]["each"] == {"status": "running", "attempts": 0, "iterations": 0, "epochs": 1}


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("load[9]", "step 'load' has 4 iterations, 0 to 3; 9 is none of them"),
        ("lode", "no step 'lode' has been entered; did you mean 'load'?"),
        ("load#1", "step 'load' was entered once, as #0; #1 is none of them"),
    ],
)
async def test_an_address_that_means_nothing_is_refused(house: House, address: str, sentence: str) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named)

    with pytest.raises(InvalidRequest) as refused:
        await parting(house, execution, address)

    assert str(refused.value) == sentence


async def test_an_iteration_that_never_began_has_nothing_to_begin_anew(tmp_path: object) -> None:
    house = await House(plan_of(FAILING), LocalCache(tmp_path)).taken()  # type: ignore[arg-type]
    crew, execution = Crew(house), house.request()
    await crew.work(failing("load/0/1"))

    with pytest.raises(InvalidRequest, match=r"'load#0\[3\]' never began; fork the step: --from 'load'"):
        await parting(house, execution, "load[3]")


async def test_nobody_forks_an_execution_that_is_not_there(house: House) -> None:
    assert await part(house.log, TOPICS, 12345, "load") is None


async def test_a_first_event_without_a_readable_past_starts_nothing(house: House) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named)
    event = await request(house, execution, "last", key="broken")
    assert event.fork is not None
    for past in (None, b"no past", event.fork.past and event.fork.past[:-9]):
        house.write(
            replace(event, fork=replace(event.fork, past=past)), execution_id(bytes.fromhex(event.identity))
        )
    await crew.work(named)

    assert len(house.endings()) == 1
    house.write(event, execution_id(bytes.fromhex(event.identity)))
    await crew.work(named)
    assert len(house.endings()) == 2


async def test_a_past_that_no_event_can_hold_is_refused(house: House) -> None:
    noise = Random(7)
    crew, execution = Crew(house), house.request(payload={"n": 1})
    await crew.work(lambda offer: noise.randbytes(400_000).hex() if offer.block.step == "first" else 1)

    with pytest.raises(InvalidRequest, match="more than an event holds; fork an earlier step"):
        await request(house, execution, "last", key="k")


async def test_a_past_that_nobody_would_unpack_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew, execution = Crew(house), house.request()
    await crew.work(named)
    monkeypatch.setattr(forking, "PAST_BYTES", 100)

    with pytest.raises(InvalidRequest, match="the past is larger than 100 bytes; fork an earlier step"):
        await request(house, execution, "last", key="k")
