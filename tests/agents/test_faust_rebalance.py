"""What Faust does when members come and go: the moment to restore in, what is handed out again, how soon."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from noetl_stream.agents.app import SESSION, partitions_of
from tests.agents.members import LIMIT, Member, Place

pytestmark = pytest.mark.slow

GLANCES = 50
"""Round trips to the broker, each a chance for a record to slip through a door that should be shut."""


@dataclass
class Door:
    """Holds `on_rebalance_complete` open, once it is `shut`."""

    member: Member
    place: Place
    is_shut: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    held: list[list[int]] = field(default_factory=list)
    early: list[int] = field(default_factory=list)

    async def pass_through(self, *_: Any, **__: Any) -> None:
        self.held.append(list(partitions_of(self.member.app, self.place.topic)))
        if not self.is_shut or self.reached.is_set():
            return
        before = len(self.member.taken)
        await self.place.produce(1, partitions=(0, 1))
        for _glance in range(GLANCES):
            await self.place.committed()
        self.early.append(len(self.member.taken) - before)
        self.reached.set()


async def test_delivery_waits_for_on_rebalance_complete_of_gained_and_of_kept_partitions(
    bootstrap: str, tmp_path: Path
) -> None:
    """The orchestrator restores there. Kept partitions go back to the committed offset: skip what was folded."""
    place = await Place.create(bootstrap, tmp_path, partitions=2)
    first, second = place.member(), place.member()
    door = Door(first, place)
    first.app.on_rebalance_complete.connect(door.pass_through)
    await place.produce(3, partitions=(0, 1))
    async with first.running():
        await first.takes(6)
        for event in first.taken:
            if event.message.offset == 0:
                event.ack()
        await place.commits(1, 0)
        await place.commits(1, 1)
        door.is_shut = True
        async with second.running():
            await asyncio.wait_for(door.reached.wait(), LIMIT)
            await first.takes(9)

    kept = door.held[1]
    assert [len(held) for held in door.held[:2]] == [2, 1]
    assert door.early == [0]
    assert first.places[6:9] == [(kept[0], offset) for offset in (1, 2, 3)]


async def test_a_rebalance_passes_over_no_record_of_a_partition_that_has_no_committed_offset(
    bootstrap: str, tmp_path: Path
) -> None:
    """Faust drops what a fetch still brings while a rebalance runs; the seek that should bring it again must happen."""
    place = await Place.create(bootstrap, tmp_path, partitions=2)
    first, second = place.member(), place.member()
    door = Door(first, place)
    first.app.on_rebalance_complete.connect(door.pass_through)
    await place.produce(3, partitions=(0, 1))
    async with first.running():
        await first.takes(6)
        door.is_shut = True
        async with second.running():
            await asyncio.wait_for(door.reached.wait(), LIMIT)
            await first.has(lambda: len(first.taken) > 6 and first.places[-1][1] == 3)

    [kept] = door.held[1]
    assert first.places[6:] == [(kept, offset) for offset in range(4)]


async def test_a_handler_of_on_rebalance_complete_that_raises_crashes_the_app_and_nothing_is_delivered(
    bootstrap: str, tmp_path: Path
) -> None:
    """Why a restore is repeated until it is done: the member would sit on its partitions for ever."""
    place = await Place.create(bootstrap, tmp_path)
    member = place.member()

    async def restore(*_: Any, **__: Any) -> None:
        raise RuntimeError("a restore that fails")

    member.app.on_rebalance_complete.connect(restore)
    await place.produce(1)
    async with member.running():
        async with asyncio.timeout(LIMIT):
            await member.app._crashed.wait()
        assert partitions_of(member.app, place.topic) == [0]

    assert member.taken == []


@asynccontextmanager
async def another_process(place: Place) -> AsyncIterator[asyncio.subprocess.Process]:
    """A member in a process of its own, which has taken its first record."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.agents.lone_member", *place.arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT):
            assert await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_members_records_are_given_to_another_soon_after_its_session_ends(
    bootstrap: str, tmp_path: Path
) -> None:
    """With Faust's own settings it would take a minute."""
    place = await Place.create(bootstrap, tmp_path, partitions=2)
    survivor = place.member()
    await place.produce(2, partitions=(0, 1))
    async with another_process(place) as doomed, survivor.running():
        await survivor.takes(2)
        mine = survivor.places[0][0]
        theirs = 1 - mine
        assert survivor.places == [(mine, 0), (mine, 1)]
        doomed.kill()
        killed = time.monotonic()
        await survivor.has(lambda: (theirs, 1) in survivor.places)
        took = time.monotonic() - killed

    assert SESSION / 2 < took < 2 * SESSION
