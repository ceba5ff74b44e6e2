"""Who waits for an answer, from the log: under the name by which it can be answered."""

from __future__ import annotations

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.address import parse
from noetl_stream.core.events import BlockParked, Callback
from noetl_stream.core.located import asking
from noetl_stream.replay.telling import ALWAYS, state_at
from noetl_stream.replay.waiting import waiting
from tests.orchestrator.seat import TOPICS, House
from tests.worker.stage import plan_of

ALONE = "- {step: sign, tool: {kind: noop}}\n"
EACH = "- {step: sign, loop: {in: [a, b], iterator: it, spec: {mode: parallel}}, tool: {kind: noop}}\n"


@pytest.mark.parametrize(("steps", "addresses"), [(ALONE, ["sign"]), (EACH, ["sign[0]", "sign[1]"])])
async def test_what_waits_is_named_as_it_can_be_answered(
    tmp_path: object, steps: str, addresses: list[str]
) -> None:
    house = await House(plan_of(steps), LocalCache(tmp_path)).taken()  # type: ignore[arg-type]
    execution = house.request()
    await house.settled()
    for offer in house.offers:
        parked = BlockParked(
            block=offer.block,
            attempt=0,
            segment=0,
            run="r",
            wait=Callback(ask={"of": offer.block.iteration}),
            time=house.log.now,
        )
        house.write(parked, execution)
    await house.settled()

    found = [each async for each in waiting(house.log, TOPICS, execution)]
    state = await state_at(house.log, TOPICS, execution, ALWAYS)

    assert state is not None
    assert [each.address for each in found] == addresses
    assert [asking(state, parse(each.address, state.epochs)) for each in found] == [
        (each.token, each.ask) for each in found
    ]
