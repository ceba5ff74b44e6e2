"""An execution's story from the log alone: what happened, what counted, and how it stood at a past moment."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import (
    CancelRequested,
    Decision,
    ExecutionEnded,
    PartitionTaken,
    RecordRejected,
    StepFinished,
)
from noetl_stream.core.partition import Partition
from noetl_stream.replay.telling import Moment, Told, state_at, story_of, tell, tell_all
from noetl_stream.wire.codec import encode
from tests.orchestrator.seat import EVENTS, TOPICS, House
from tests.worker.stage import plan_of

STEPS = "- {step: one, tool: {kind: noop}, next: two}\n- {step: two, tool: {kind: noop}}\n"


@pytest.fixture
async def house(tmp_path: object) -> House:
    return await House(plan_of(STEPS), LocalCache(tmp_path)).taken()  # type: ignore[arg-type]


async def ran(house: House, key: str = "k") -> int:
    """An execution from its request to its end, ten seconds a step."""
    execution = house.request(key)
    await house.settled()
    for step in ("one", "two"):
        house.log.now += 10
        house.complete(execution, step)
        await house.settled()
    return execution


async def misled(house: House, key: str = "k") -> int:
    """An execution that is set aside: its owner cannot carry out a decision about it."""
    execution = house.request(key)
    await house.settled()
    impossible = (StepFinished(step="two", epoch=0, status="done"),)
    after = len(house.log.records(EVENTS)) + 1
    house.write(Decision(fence=0, after=after, at=house.log.now, moves=impossible), execution)
    await house.settled()
    return execution


async def told(house: House, execution: int, until: Moment | None = None) -> list[Told]:
    stop = len(house.log.records(EVENTS))
    return [each async for each in tell(house.log, TOPICS, execution, stop=stop, until=until or Moment())]


async def test_a_story_tells_the_path_the_steps_and_the_end(house: House) -> None:
    began = house.log.now
    execution = await ran(house)

    report = (await story_of(house.log, TOPICS, execution)).as_json({})

    assert (report["execution_id"], report["playbook"], report["status"]) == (
        str(execution),
        "sales",
        "COMPLETED",
    )
    assert report["path"] == ["one", "two"]
    assert (report["started_at"], report["finished_at"]) == (began, began + 20)
    assert report["steps"]["one"] == {"status": "done", "attempts": 1, "iterations": 1, "epochs": 1}


async def test_of_an_execution_that_runs_the_story_goes_as_far_as_the_log(house: House) -> None:
    execution = house.request()
    await house.settled()

    report = (await story_of(house.log, TOPICS, execution)).as_json({})

    assert (report["status"], report["path"], report["finished_at"]) == ("RUNNING", ["one"], None)


async def test_of_an_execution_that_was_set_aside_the_story_tells_why(house: House) -> None:
    """A decision that its owner could not carry out is no end of the story."""
    execution = await misled(house)

    story = await story_of(house.log, TOPICS, execution)

    assert [each.folded.verdict for each in await told(house, execution)][-2:] == ["rejected", "accepted"]
    assert story.end is not None
    assert story.end.error is not None
    assert (story.status, story.end.error.kind) == ("FAILED", "quarantined")


async def test_only_the_executions_own_records_are_told_each_with_its_verdict(house: House) -> None:
    await ran(house, "other")
    execution = await ran(house)
    house.complete(execution, "two")

    found = await told(house, execution)

    assert [type(each.event).__name__ for each in found] == [
        "ExecutionRequested",
        "Decision",
        "BlockCompleted",
        "Decision",
        "BlockCompleted",
        "Decision",
        "BlockCompleted",
    ]
    assert [each.folded.verdict for each in found] == ["accepted"] * 6 + ["stale"]


async def test_a_decision_of_a_former_owner_is_told_and_does_not_count(house: House) -> None:
    execution = house.request()
    await house.settled()
    ended = Decision(fence=0, after=9, at=house.log.now, moves=(ExecutionEnded(status="FAILED"),))
    house.mine = False
    house.write(PartitionTaken(owner="another", time=house.log.now))
    house.write(ended, execution)
    await house.settled()

    found = await told(house, execution)

    assert found[-1].folded.verdict == "stale"
    assert (await story_of(house.log, TOPICS, execution)).status == "RUNNING"


@pytest.mark.parametrize("owner", ["nobody", "another execution"])
async def test_what_cannot_be_read_counts_for_no_reader(house: House, owner: str) -> None:
    execution = house.request()
    house.write_bytes(b"no record of ours", machine=execution if owner == "nobody" else 77)
    await house.settled()

    assert (await story_of(house.log, TOPICS, execution)).path == ["one"]


def rejected(house: House, offset: int, *, fence: int = 0) -> RecordRejected:
    return RecordRejected(fence=fence, offset=offset, reason="its owner is older", time=house.log.now)


async def unheeded(house: House) -> tuple[int, int]:
    """An execution whose first step was reported done by a record that its owner has not read, and that one's offset."""
    execution = house.request()
    await house.settled()
    house.shell.drop([0])
    house.complete(execution, "one")
    return execution, len(house.log.records(EVENTS)) - 1


async def test_what_was_rejected_counts_for_no_reader_who_can_read_it(house: House) -> None:
    execution, offset = await unheeded(house)
    before = await state_at(house.log, TOPICS, execution, Moment(offset=offset))
    assert before is not None
    assert not before.blocks

    house.write(rejected(house, offset))

    state = await state_at(house.log, TOPICS, execution, Moment())
    assert state is not None
    assert [block.step for block in state.blocks] == ["one"]
    assert (await story_of(house.log, TOPICS, execution)).events == 4


async def test_what_was_rejected_is_nobodys_among_all_records_of_a_partition(house: House) -> None:
    execution, offset = await unheeded(house)
    house.write(rejected(house, offset))

    state = Partition()
    found = [each.record.offset async for each in tell_all(house.log, TOPICS, 0, state)]

    assert found == [0, 1, 2, offset + 1]
    assert [block.step for block in state.machines[execution].blocks] == ["one"]


async def test_what_a_former_owner_rejected_counts(house: House) -> None:
    execution, offset = await unheeded(house)
    house.write(PartitionTaken(owner="another", time=house.log.now))
    house.write(rejected(house, offset))

    state = await state_at(house.log, TOPICS, execution, Moment())

    assert state is not None
    assert not state.blocks


async def test_a_story_that_is_followed_goes_on_without_what_was_rejected_after_it_was_told(
    house: House,
) -> None:
    execution, offset = await unheeded(house)
    async with aclosing(tell(house.log, TOPICS, execution)) as following:
        seen = [await anext(following) for _ in range(3)]
        house.write(rejected(house, offset))
        house.complete(execution, "one")
        again = await anext(following)

    assert [each.record.offset for each in (*seen, again)] == [1, 2, offset, offset + 2]
    assert again.folded.verdict == "accepted"


async def test_the_state_at_a_time_is_what_stood_then(house: House) -> None:
    began = house.log.now
    execution = await ran(house)

    async def at(seconds: float) -> list[str] | None:
        state = await state_at(house.log, TOPICS, execution, Moment(at=began + seconds))
        return None if state is None else [*state.finished]

    assert await at(-1) is None
    assert await at(0) == []
    assert await at(10) == ["one"]
    assert await at(19.9) == ["one"]
    assert await at(20) == ["one", "two"]
    assert await at(1_000_000) == ["one", "two"]


async def test_the_state_at_an_offset_includes_its_record(house: House) -> None:
    execution = await ran(house)
    found = await told(house, execution)
    first_finished = found[3].record.offset

    before = await state_at(house.log, TOPICS, execution, Moment(offset=first_finished - 1))
    after = await state_at(house.log, TOPICS, execution, Moment(offset=first_finished))

    assert before is not None
    assert after is not None
    assert ([*before.finished], [*after.finished]) == ([], ["one"])


async def test_the_state_after_so_many_records_counts_only_its_own(house: House) -> None:
    await ran(house, "other")
    execution = await ran(house)

    states = [await state_at(house.log, TOPICS, execution, Moment(number=n)) for n in range(5)]

    assert states[0] is None
    assert [[*state.finished] for state in states[1:] if state] == [[], [], [], ["one"]]


async def test_a_replay_does_not_tell_the_future_of_the_state_it_gives(house: House) -> None:
    """Facts change a state in place: one that was read past would show."""
    execution = await ran(house)

    state = await state_at(house.log, TOPICS, execution, Moment(number=2))

    assert state is not None
    assert (state.status, [block.step for block in state.blocks]) == ("running", ["one"])


async def test_an_execution_that_nobody_asked_for_has_no_state(house: House) -> None:
    await ran(house)

    assert await state_at(house.log, TOPICS, 42, Moment()) is None
    assert await told(house, 42) == []


async def test_a_story_can_be_followed_as_it_happens(house: House) -> None:
    execution = house.request()
    await house.settled()

    async with aclosing(tell(house.log, TOPICS, execution)) as following:
        for _ in range(2):
            await anext(following)
        coming = asyncio.ensure_future(anext(following))
        house.log.append_soon(
            EVENTS, encode(CancelRequested(time=house.log.now)), key=str(execution).encode(), partition=0
        )
        told = await coming

    assert (told.event, told.folded.verdict) == (CancelRequested(time=house.log.now), "accepted")
    assert told.at == house.log.now
