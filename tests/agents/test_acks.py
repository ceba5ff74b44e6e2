"""The tracker that keeps Faust's acknowledgements in offset order, whatever order the work ends in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from noetl_stream.agents.acks import MOST_BEHIND, Acks


@dataclass
class Delivery:
    """What Faust would be told, in order."""

    acknowledged: list[int] = field(default_factory=list)

    def of(self, offset: int) -> Event:
        return Event(offset, self.acknowledged)


@dataclass(frozen=True)
class Event:
    offset: int
    told: list[int]

    def ack(self) -> bool:
        self.told.append(self.offset)
        return True


@st.composite
def delivered(draw: st.DrawFn) -> list[int]:
    """Ascending offsets with gaps, as compaction and transactions leave them."""
    gaps = draw(st.lists(st.integers(1, 3), min_size=1, max_size=30))
    return [sum(gaps[: n + 1]) for n in range(len(gaps))]


@given(delivered(), st.randoms(use_true_random=False))
def test_in_whatever_order_records_finish_the_contiguous_prefix_is_acknowledged_each_once(
    offsets: list[int], chance: Random
) -> None:
    delivery, acks = Delivery(), Acks()
    for offset in offsets:
        acks.delivered(offset, delivery.of(offset))
    finishing = list(offsets)
    chance.shuffle(finishing)
    finished: set[int] = set()
    for offset in finishing:
        acks.finish(offset)
        finished.add(offset)
        unfinished = [at for at in offsets if at not in finished]
        assert delivery.acknowledged == [at for at in offsets if not unfinished or at < unfinished[0]]


@given(delivered(), st.data())
def test_records_that_arrive_while_others_finish_change_nothing_of_that(
    offsets: list[int], choose: st.DataObject
) -> None:
    delivery, acks = Delivery(), Acks()
    arriving, running = list(offsets), list[int]()
    while arriving or running:
        if arriving and (not running or choose.draw(st.booleans(), label="one arrives")):
            running.append(arriving.pop(0))
            acks.delivered(running[-1], delivery.of(running[-1]))
        else:
            ended = choose.draw(st.sampled_from(running), label="one finishes")
            running.remove(ended)
            acks.finish(ended)
        oldest = min(running, default=arriving[0] if arriving else offsets[-1] + 1)
        assert delivery.acknowledged == [at for at in offsets if at < oldest]


@given(delivered(), st.lists(st.integers(0, 100)))
def test_a_position_acknowledges_all_below_it_and_a_lower_one_nothing_more(
    offsets: list[int], positions: list[int]
) -> None:
    delivery, acks = Delivery(), Acks()
    for offset in offsets:
        acks.delivered(offset, delivery.of(offset))
    for position in positions:
        acks.finish_below(position)

    furthest = max(positions, default=0)
    assert delivery.acknowledged == [at for at in offsets if at < furthest]


async def test_no_more_is_taken_while_one_unfinished_record_holds_back_too_many() -> None:
    delivery, acks = Delivery(), Acks()
    for offset in (0, MOST_BEHIND):
        acks.delivered(offset, delivery.of(offset))
    waiting = asyncio.create_task(acks.room())
    acks.finish(MOST_BEHIND)
    await asyncio.wait([waiting], timeout=0)
    assert not waiting.done()

    acks.finish(0)
    await waiting

    assert acks.behind == 0
    assert delivery.acknowledged == [0, MOST_BEHIND]


async def test_a_position_that_moves_on_makes_room_as_well() -> None:
    delivery, acks = Delivery(), Acks()
    for offset in (0, MOST_BEHIND):
        acks.delivered(offset, delivery.of(offset))
    waiting = asyncio.create_task(acks.room())
    await asyncio.wait([waiting], timeout=0)

    acks.finish_below(1)

    await asyncio.wait_for(waiting, 1)
