"""What Faust does with acknowledgements: why ours go in offset order, per assignment, and why no agent may raise."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.agents.members import Place

pytestmark = pytest.mark.slow


async def test_acknowledged_in_order_exactly_the_contiguous_prefix_is_committed(
    bootstrap: str, tmp_path: Path
) -> None:
    place = await Place.create(bootstrap, tmp_path)
    member = place.member()
    await place.produce(10)
    async with member.running():
        await member.takes(10)
        for event in member.taken[:6]:
            event.ack()

    assert await place.committed() == 6


async def test_what_is_not_acknowledged_is_not_committed_even_by_an_orderly_stop(
    bootstrap: str, tmp_path: Path
) -> None:
    place = await Place.create(bootstrap, tmp_path)
    member = place.member()
    await place.produce(3)
    async with member.running():
        await member.takes(3)

    assert await place.committed() is None


async def test_acknowledged_out_of_order_faust_commits_past_what_still_runs(
    bootstrap: str, tmp_path: Path
) -> None:
    """The fault that `agents.acks` exists for. On the day this fails Faust has mended it: the tracker may go."""
    place = await Place.create(bootstrap, tmp_path)
    member = place.member()
    await place.produce(10)
    async with member.running():
        await member.takes(10)
        for event in member.taken[1:]:
            event.ack()

    assert await place.committed() == 10


async def test_an_agent_that_raises_is_given_the_next_record_and_the_failed_one_is_skipped(
    bootstrap: str, tmp_path: Path
) -> None:
    """The fault that `until_done` exists for."""
    place = await Place.create(bootstrap, tmp_path)
    failed = asyncio.Event()

    async def take(event: Any) -> None:
        if event.message.offset == 1 and not failed.is_set():
            failed.set()
            raise ValueError("an agent that raises")
        event.ack()

    member = place.member(take)
    await place.produce(4)
    async with member.running():
        await member.takes(4)
        await place.commits(4)

    assert failed.is_set()
    assert member.places == [(0, 0), (0, 1), (0, 2), (0, 3)]


async def test_what_was_delivered_before_a_rebalance_is_acknowledged_after_it(
    bootstrap: str, tmp_path: Path
) -> None:
    """The fault that acknowledgements are kept per assignment for: the same records were handed out again."""
    place = await Place.create(bootstrap, tmp_path, partitions=2)
    first, second = place.member(), place.member()
    await place.produce(6, partitions=(0, 1))
    async with first.running():
        await first.takes(12)
        before = list(first.taken)
        async with second.running():
            await second.takes(6)
            await first.takes(18)
            kept = first.taken[-1].message.partition
            for event in before:
                if event.message.partition == kept:
                    event.ack()
            await place.commits(6, kept)

    again = [place for place in first.places[12:] if place[0] == kept]
    assert again == [(kept, offset) for offset in range(6)]
