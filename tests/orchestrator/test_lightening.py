"""Offers that are too large for a record: what they bring waits in the cache."""

from __future__ import annotations

from pathlib import Path

from noetl_stream.cache.local import LocalCache
from noetl_stream.wire.codec import encode_offer
from noetl_stream.worker.hydrate import whole_offer
from tests.orchestrator.seat import House
from tests.worker.stage import plan_of

READS = "- {step: one, input: {text: '{{ text }}', short: '{{ short }}'}, tool: {kind: noop}}\n"
REPEATS = READS.replace("- {", "- {loop: {in: '{{ [text[:60000]] }}'}, ")


async def test_an_offer_above_a_record_leaves_its_values_in_the_cache(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    house = await House(plan_of(REPEATS), cache).taken()
    house.request(payload={"text": "x" * 150_000, "short": "y"})
    while not house.offers:  # the cache writes in a thread
        await house.settled()

    [offer] = house.offers
    assert len(encode_offer(offer)) < 2_000
    assert (offer.workload, offer.item) == ({}, None)
    whole = await whole_offer(cache, offer)
    assert whole.workload == {"text": "x" * 150_000, "short": "y"}
    assert whole.item == "x" * 60_000
    assert (whole.rest, whole.block) == (None, offer.block)


async def test_an_offer_that_fits_travels_whole(tmp_path: Path) -> None:
    house = await House(plan_of(READS), LocalCache(tmp_path)).taken()
    house.request(payload={"text": "x" * 100_000, "short": "y"})
    await house.settled()

    [offer] = house.offers
    assert offer.rest is None
    assert len(offer.workload["text"]) == 100_000
