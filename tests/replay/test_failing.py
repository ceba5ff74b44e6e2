"""Which executions failed, from the log of all: those that were set aside too, and whatever else stands in it."""

from __future__ import annotations

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import BlockFailed, BlockId, CancelRequested
from noetl_stream.core.values import Error
from noetl_stream.replay.failing import failed_since
from noetl_stream.wire.codec import encode
from tests.orchestrator.seat import EVENTS, TOPICS, House
from tests.replay.test_telling import STEPS, misled
from tests.worker.stage import plan_of


async def test_failures_and_executions_that_were_set_aside_are_told_in_the_order_of_their_ends(
    tmp_path: object,
) -> None:
    house = await House(plan_of(STEPS), LocalCache(tmp_path)).taken()  # type: ignore[arg-type]
    aside, failed = await misled(house, "aside"), house.request("failed")
    await house.settled()
    house.log.now += 10
    broken = Error(kind="python", message="no")
    house.write(
        BlockFailed(block=BlockId("one", 0, 0), attempt=0, segment=0, run="r", error=broken, time=0.0), failed
    )
    await house.settled()

    found = await failed_since(house.log, TOPICS, house.log.now - 10)
    later = await failed_since(house.log, TOPICS, house.log.now)

    assert [(each["execution_id"], each["kind"]) for each in found] == [
        (str(aside), "quarantined"),
        (str(failed), "python"),
    ]
    assert later == found[1:]


async def test_a_record_under_a_foreign_key_hides_no_failure(tmp_path: object) -> None:
    house = await House(plan_of(STEPS), LocalCache(tmp_path)).taken()  # type: ignore[arg-type]
    house.log.append_soon(EVENTS, encode(CancelRequested(time=0.0)), key=b"theirs", partition=0)
    await misled(house, "aside")

    assert len(await failed_since(house.log, TOPICS, 0.0)) == 1
