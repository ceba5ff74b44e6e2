"""From an offer to an outcome: a step's work, its loop's collection, or its ending."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from noetl_stream.core import events
from noetl_stream.core.counts import count_of
from noetl_stream.core.entering import told
from noetl_stream.core.events import PROBES, BlockCompleted, BlockFailed, Report
from noetl_stream.core.finishing import ENDING_BYTES
from noetl_stream.core.growing import one_more
from noetl_stream.core.messages import Offer
from noetl_stream.core.outbox import reads_of
from noetl_stream.core.plan import Plan, Step
from noetl_stream.core.run import is_iteration
from noetl_stream.core.values import Error, Value
from noetl_stream.errors import ExpressionError
from noetl_stream.ports.credentials import Credentials
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Tool
from noetl_stream.worker.credentials import FROM_DOCUMENT
from noetl_stream.worker.hydrate import hydrate, hydrate_offer, whole_offer
from noetl_stream.worker.items import Collections, materialised, slice_at
from noetl_stream.worker.keep import key_of
from noetl_stream.worker.pipeline import PipelineRun
from noetl_stream.worker.sites import beginning_of, condition_of, route_of
from noetl_stream.worker.storing import Shelf
from noetl_stream.worker.trying import invalid


async def run_block(
    *,
    plan: Plan,
    offer: Offer,
    tools: Mapping[str, Tool],
    cache: Cache,
    run_id: str,
    credentials: Credentials = FROM_DOCUMENT,
    collections: Collections | None = None,
) -> Report:
    """Run one block to its outcome. Raises InfrastructureError if the cache cannot be reached."""
    return await run_opened(
        plan=plan,
        offer=await opened(plan, offer, cache),
        tools=tools,
        cache=cache,
        run_id=run_id,
        credentials=credentials,
        collections=collections or Collections(cache),
    )


async def opened(plan: Plan, offer: Offer, cache: Cache) -> Offer:
    """The offer with all that it brings at hand, but for several iterations' items: those are each one's own."""
    whole = await whole_offer(cache, offer)
    reads = reads_of(plan.steps[offer.block.step], offer.block.iteration)
    if whole.count == 1:
        return await hydrate_offer(cache, whole, reads)
    found = await hydrate_offer(cache, replace(whole, item=None), reads)
    return replace(found, item=whole.item)


async def run_opened(
    *,
    plan: Plan,
    offer: Offer,
    tools: Mapping[str, Tool],
    cache: Cache,
    run_id: str,
    credentials: Credentials,
    collections: Collections,
) -> Report:
    """Run one block whose offer is opened. Raises InfrastructureError if the cache cannot be reached."""
    step = plan.steps[offer.block.step]
    offer = await _with_item(cache, collections, offer, step)
    cursor = offer.block.iteration <= PROBES and step.loop is not None and step.loop.cursor
    if is_iteration(offer.block.iteration) or cursor:
        run = PipelineRun(
            plan=plan, offer=offer, tools=tools, cache=cache, run_id=run_id, credentials=credentials
        )
        return await run.run()
    try:
        found = await _found_out(plan, step, offer, cache)
    except ExpressionError as error:
        return broken(offer, run_id, replace(invalid(error), step=offer.block.step))
    return BlockCompleted(
        block=offer.block,
        attempt=offer.attempt,
        segment=offer.segment,
        run=run_id,
        result=found,
        time=time.time(),
    )


async def _with_item(cache: Cache, collections: Collections, offer: Offer, step: Step) -> Offer:
    """This iteration's item, its references resolved; what was not sent is cut from what was materialised once."""
    if offer.items is None:
        item = offer.item
    elif step.loop is None or step.loop.rows is None:
        item = await collections.item(offer.items, offer.row)
    else:
        key, rows = key_of(offer, "item"), count_of(step.loop.rows, offer.workload)
        item = await slice_at(cache, key, offer.items, offer.row, rows)
    found = await hydrate(cache, item)
    return offer if found is offer.item else replace(offer, item=found)


async def _found_out(plan: Plan, step: Step, offer: Offer, cache: Cache) -> Value:
    """What the owner could not tell: how a step begins, whether its loop goes on, how it ends."""
    match offer.block.iteration:
        case events.ITEMS:
            begun = beginning_of(plan, step, offer)
            items = await materialised(cache, key_of(offer, "items"), begun.items)
            return told(replace(begun, items=items))
        case events.ROUTE:
            return await _route(plan, step, offer, cache)
        case _:
            return one_more(condition_of(plan, step, offer))


async def _route(plan: Plan, step: Step, offer: Offer, cache: Cache) -> Value:
    """Where the step's tokens go, and what is written on the way: large values by reference, like results."""
    found, shelf = route_of(plan, step, offer), Shelf(cache, offer, ENDING_BYTES)
    writes = {name: await shelf.put(f"set-{name}", value) for name, value in found["writes"].items()}
    targets = [{**to, "args": await shelf.put(f"to-{to['step']}", to["args"])} for to in found["targets"]]
    return {**found, "writes": writes, "targets": targets}


def broken(offer: Offer, run_id: str, error: Error) -> BlockFailed:
    """A block that failed outside its tasks."""
    return BlockFailed(
        block=offer.block,
        attempt=offer.attempt,
        segment=offer.segment,
        run=run_id,
        error=error,
        time=time.time(),
    )
