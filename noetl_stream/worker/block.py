"""From an offer to an outcome: a step's work, its loop's collection, or its ending."""

from __future__ import annotations

import time
from collections.abc import Mapping

from noetl_stream.core.events import ITEMS, ROUTE, BlockCompleted, BlockFailed, Outcome
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan
from noetl_stream.core.run import INLINE_BYTES
from noetl_stream.core.values import Error, Value
from noetl_stream.errors import ExpressionError
from noetl_stream.ports.frames import Cache, FrameKey
from noetl_stream.ports.tools import Tool
from noetl_stream.worker.hydrate import hydrate_offer
from noetl_stream.worker.keep import keep
from noetl_stream.worker.pipeline import PipelineRun
from noetl_stream.worker.sites import items_of, route_of


async def run_block(
    *, plan: Plan, offer: Offer, tools: Mapping[str, Tool], cache: Cache, run_id: str
) -> Outcome:
    """Run one block to its outcome. Raises InfrastructureError if the cache cannot be reached."""
    offer = await hydrate_offer(cache, offer)
    if offer.block.iteration not in (ITEMS, ROUTE):
        return await PipelineRun(plan=plan, offer=offer, tools=tools, cache=cache, run_id=run_id).run()
    try:
        found = await _items(plan, offer, cache) if offer.block.iteration == ITEMS else _route(plan, offer)
    except ExpressionError as error:
        return _refused(offer, run_id, error)
    return BlockCompleted(
        block=offer.block,
        attempt=offer.attempt,
        segment=offer.segment,
        run=run_id,
        result=found,
        time=time.time(),
    )


async def _items(plan: Plan, offer: Offer, cache: Cache) -> Value:
    """The collection, materialised once: recovery never renders it again."""
    items = items_of(plan, plan.steps[offer.block.step], offer)
    if isinstance(items, int):
        return {"items": items, "total": items}
    key = FrameKey(execution=offer.execution, block=offer.block, attempt=offer.attempt, name="items")
    return {"items": await keep(cache, key, items, inline_limit=INLINE_BYTES), "total": len(items)}


def _route(plan: Plan, offer: Offer) -> Value:
    return route_of(plan, plan.steps[offer.block.step], offer)


def _refused(offer: Offer, run_id: str, error: ExpressionError) -> BlockFailed:
    return BlockFailed(
        block=offer.block,
        attempt=offer.attempt,
        segment=offer.segment,
        run=run_id,
        error=Error(kind="validation", message=str(error), step=offer.block.step, place=error.place),
        time=time.time(),
    )
