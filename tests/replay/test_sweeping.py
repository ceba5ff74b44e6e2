"""Sweeping the cache: what may go by `ttl` or `retention` goes, but for what an execution that lives still needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.cache.names import claim_name, name_of
from noetl_stream.core.events import BlockId
from noetl_stream.core.run import loop_name
from noetl_stream.core.values import Elsewhere, Ref
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import FrameKey, Sweepable
from noetl_stream.replay.standing import standing
from noetl_stream.replay.sweeping import GRACE, Swept, sweep
from tests.orchestrator.seat import TOPICS, House
from tests.replay.test_telling import misled
from tests.worker.stage import plan_of

STEPS = "workflow:\n- {step: one, tool: {kind: noop}, next: two}\n- {step: two, tool: {kind: noop}}\n"
KEPT = "policy: {retention: {results: 60, events: 1}}\n" + STEPS


@pytest.fixture
def cache(tmp_path: Path) -> Sweepable:
    return LocalCache(tmp_path / "cache")


async def house_of(document: str, cache: Sweepable) -> House:
    return await House(plan_of(document), cache).taken()


def key(execution: int, step: str = "one") -> FrameKey:
    return FrameKey(execution=execution, block=BlockId(step, 0, 0), attempt=0)


async def ran(house: House, execution: int, *results: object) -> None:
    """The execution's steps, each with its result."""
    for step, result in zip(("one", "two"), results, strict=False):
        await house.settled()
        house.complete(execution, step, result=result)
    await house.settled()


async def swept(house: House, cache: Sweepable, later: float, *, dry: bool = False) -> Swept:
    return await sweep(cache, await standing(house.log, TOPICS), house.log.now + later, dry=dry)


async def is_there(cache: Sweepable, ref: Ref) -> bool:
    try:
        await cache.json(ref)
    except ToolError:
        return False
    return True


async def test_what_is_past_its_time_goes_and_its_note_with_it(cache: Sweepable) -> None:
    house = await house_of(STEPS, cache)
    execution = house.request("k")
    ref = await cache.put_json(key(execution), {"n": 1})
    await cache.expire(key(execution), [ref], house.log.now + 60)
    await ran(house, execution, ref, 2)

    early, found = await swept(house, cache, 60), await swept(house, cache, 61 + GRACE)

    assert (early.gone, found.gone, found.needed) == ([], [name_of(ref)], [])
    assert [name async for name in cache.names()] == []


async def test_a_dry_run_removes_nothing(cache: Sweepable) -> None:
    house = await house_of(STEPS, cache)
    ref = await cache.put_json(key(7), 1)
    await cache.expire(key(7), [ref], house.log.now)

    assert (await swept(house, cache, 1 + GRACE, dry=True)).gone == [name_of(ref)]
    assert await is_there(cache, ref)


async def test_a_result_that_a_live_execution_still_holds_stays_until_it_has_ended(cache: Sweepable) -> None:
    house = await house_of(STEPS, cache)
    execution = house.request("k")
    ref = await cache.put_json(key(execution), {"n": 1})
    await cache.expire(key(execution), [ref], house.log.now)
    await ran(house, execution, ref)

    alive = await swept(house, cache, 1 + GRACE)
    assert (alive.gone, alive.needed) == ([], [name_of(ref)])
    assert await is_there(cache, ref)

    house.complete(execution, "two", result=2)
    await house.settled()
    assert (await swept(house, cache, 1 + GRACE)).gone == [name_of(ref)]


async def test_what_stands_within_what_is_held_stays_too(cache: Sweepable) -> None:
    house = await house_of(STEPS, cache)
    execution = house.request("k")
    inner = await cache.put_json(key(99), {"n": 1})
    outer = await cache.put_json(key(execution), {"of": inner})
    await cache.expire(key(99), [inner], house.log.now)
    await ran(house, execution, outer)

    assert (await swept(house, cache, 1 + GRACE)).needed == [name_of(inner)]


async def test_text_that_names_a_result_holds_it(cache: Sweepable) -> None:
    house = await house_of(STEPS, cache)
    execution = house.request("k")
    ref = await cache.put_json(key(99), 1)
    await cache.expire(key(99), [ref], house.log.now)
    await ran(house, execution, {"where": ref.uri, "odd": "cache:it"})

    assert (await swept(house, cache, 1 + GRACE)).needed == [name_of(ref)]


async def test_all_that_an_execution_left_goes_when_its_playbook_says_so(cache: Sweepable) -> None:
    house = await house_of(KEPT, cache)
    execution, other = house.request("k"), house.request("other")
    ref, chunk = await cache.put_json(key(execution), 1), f"{loop_name(execution, 'one', 0)}/0"
    theirs = await cache.put_json(key(other), 2)
    await cache.create(chunk, b"[]")
    await ran(house, execution, ref, 2)

    assert (await swept(house, cache, 59 + GRACE)).gone == []
    assert len((await swept(house, cache, 61 + GRACE)).gone) == 2
    assert await is_there(cache, theirs)
    assert not await is_there(cache, ref)


async def test_of_an_execution_whose_result_another_holds_nothing_goes(cache: Sweepable) -> None:
    house = await house_of(KEPT, cache)
    child, parent = house.request("child"), house.request("parent")
    ref, beside = await cache.put_json(key(child), 1), await cache.put_json(key(child, "two"), 2)
    await ran(house, child, ref, beside)
    await ran(house, parent, ref)

    found = await swept(house, cache, 61 + GRACE)

    assert found.gone == []
    assert await is_there(cache, beside)


async def test_of_an_execution_whose_chunks_a_fork_goes_on_with_nothing_goes(cache: Sweepable) -> None:
    house = await house_of(KEPT, cache)
    source, fork = house.request("source"), house.request("fork")
    chunk = f"{loop_name(source, 'one', 0)}/0"
    await cache.create(chunk, b"[]")
    await ran(house, source, 1, 2)
    shared = Ref(
        uri=loop_name(fork, "one", 0),
        bytes=9,
        sha256="",
        format="chunks",
        elsewhere=(Elsewhere(0, 1_000, chunk),),
    )
    await ran(house, fork, shared)

    assert (await swept(house, cache, 61 + GRACE)).gone == []
    await ran(house, fork, shared, 2)
    assert (await swept(house, cache, 61 + GRACE)).gone == [claim_name(chunk)]


async def test_what_an_execution_that_was_set_aside_left_goes_too(cache: Sweepable) -> None:
    house = await house_of(KEPT, cache)
    execution = await misled(house)
    ref = await cache.put_json(key(execution), 1)

    assert (await swept(house, cache, 61 + GRACE)).gone == [name_of(ref)]


async def test_without_a_word_nothing_goes(cache: Sweepable) -> None:
    house = await house_of(STEPS, cache)
    execution = house.request("k")
    ref = await cache.put_json(key(execution), 1)
    await ran(house, execution, ref, 2)

    assert (await swept(house, cache, 1e9)) == Swept()
    assert await is_there(cache, ref)
