"""Children: started once, looked for properly, answered even when they cannot be started."""

from __future__ import annotations

from dataclasses import replace

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import (
    BlockId,
    BlockParked,
    CancelRequested,
    Child,
    ChildEnded,
    ExecutionRequested,
)
from noetl_stream.core.plan import Plan
from noetl_stream.errors import InvalidRequest
from noetl_stream.ids import execution_id, identity
from tests.memory import MemoryPlans
from tests.orchestrator.seat import House
from tests.worker.stage import plan_of

PARENT = plan_of("- {step: call, tool: {kind: playbook, path: child}}\n")
CHILD = replace(plan_of("- {step: one, tool: {kind: noop}}\n"), path="child")
IDENTITY = identity("child", 1)


@pytest.fixture
def house(tmp_path: object) -> House:
    return House(PARENT, LocalCache(tmp_path))  # type: ignore[arg-type]


async def calling(house: House, **more: object) -> int:
    """A parent whose block has parked for a child."""
    await house.taken()
    parent = house.request()
    await house.settled()
    wanted = {"path": "child", "version": None, "input": {"n": 1}, "identity": IDENTITY.hex()} | more
    house.write(
        BlockParked(
            block=BlockId("call", 0, 0),
            attempt=0,
            segment=0,
            run="r",
            wait=Child(**wanted),  # type: ignore[arg-type]
            time=house.log.now,
        ),
        parent,
    )
    await house.settled()
    return parent


def answers(house: House) -> list[ChildEnded]:
    return [event for event in house.events if isinstance(event, ChildEnded)]


async def test_a_child_runs_and_its_end_wakes_the_parent(house: House) -> None:
    house.plans.plans.append(CHILD)
    await calling(house)
    child = execution_id(IDENTITY)
    house.complete(child, "one", result=7)
    await house.settled()

    assert [(answer.status, answer.child, answer.result) for answer in answers(house)] == [
        ("COMPLETED", child, 7)
    ]
    assert house.offers[-1].answer["result"] == 7


async def test_a_playbook_registered_a_moment_ago_is_found_for_a_child_too(house: House) -> None:
    house.late = [CHILD]
    await calling(house)

    assert answers(house) == []
    assert [event.path for event in house.events if isinstance(event, ExecutionRequested)] == [
        "sales",
        "child",
    ]


async def test_a_child_that_nobody_registered_fails_the_parents_task(house: House) -> None:
    await calling(house, version=3)

    [answer] = answers(house)
    assert answer.status == "FAILED"
    assert answer.error is not None
    assert answer.error.message.startswith("no playbook 'child version 3' is in the catalog")


async def test_a_child_that_does_not_compile_fails_the_parents_task(house: House) -> None:
    """It is answered, not asked for again for ever: that would hold the partition's offset."""
    house.plans = Broken(house.plan)
    house.shell = house.new_shell()
    await calling(house)

    [answer] = answers(house)
    assert answer.error is not None
    assert answer.error.message == "child version 1 does not compile: line 3"
    assert house.committed == len(house.events)


async def test_without_waiting_the_parent_goes_on_once_its_child_is_asked_for(house: House) -> None:
    house.plans.plans.append(CHILD)
    await calling(house, wait=False)

    [answer] = answers(house)
    assert (answer.status, answer.child) == ("STARTED", execution_id(IDENTITY))


async def test_a_parent_that_is_cancelled_cancels_its_child(house: House) -> None:
    house.plans.plans.append(CHILD)
    parent = await calling(house)
    house.write(CancelRequested(time=house.log.now), parent)
    await house.settled()

    assert [end.status for end in house.endings()] == ["CANCELLED", "CANCELLED"]


class Broken(MemoryPlans):
    """A catalog in which the child's text does not compile."""

    def newest(self, path: str, version: int | None) -> Plan | None:
        if path == "child":
            raise InvalidRequest("child version 1 does not compile: line 3")
        return super().newest(path, version)
