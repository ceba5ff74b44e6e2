"""What a block comes to on a simulated worker: what its script says, or what the real worker finds out for an owner.

References are opened first, as a worker does; a script's large result goes into the store before it is reported.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count, takewhile
from typing import Any
from zlib import crc32

from noetl_stream.core import events
from noetl_stream.core.counts import count_of
from noetl_stream.core.entering import told
from noetl_stream.core.events import BlockCompleted, BlockFailed, Outcome, Retry
from noetl_stream.core.growing import one_more
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Step
from noetl_stream.core.run import is_iteration
from noetl_stream.core.values import Brought, Error, Piped, Ref, Value
from noetl_stream.worker.sites import beginning_of, condition_of, route_of
from tests.simulation.scripts import BACKOFF, act
from tests.simulation.world import Outside, World


def outcome_of(world: World, offer: Offer, *, run: str, claim: str) -> Outcome:
    """The outcome of one segment of one attempt; a cursor's rows are leased under `claim`."""
    step = world.plans[offer.path].steps[offer.block.step]
    brought = hydrated(world.outside, offer)
    if is_iteration(offer.block.iteration):
        return _kept(world, step, offer, act(step.tool, brought, run=run, now=world.now))
    common: dict[str, Any] = {
        "block": offer.block,
        "attempt": offer.attempt,
        "segment": offer.segment,
        "run": run,
        "time": world.now,
    }
    if offer.attempt == 0 and crc32(str(offer.block).encode()) % 4 == 0:
        error = Error(kind="server_error", message="the cache does not answer", retryable=True)
        return BlockFailed(**common, error=error, retry=Retry(after=BACKOFF, resume=offer.resume))
    return BlockCompleted(**common, result=_found_out(world, step, brought, claim))


def _found_out(world: World, step: Step, offer: Offer, claim: str) -> Value:
    plan = world.plans[offer.path]
    match offer.block.iteration:
        case events.ITEMS:
            return told(beginning_of(plan, step, offer))
        case events.ROUTE:
            return route_of(plan, step, offer)
        case _ if step.loop_condition is not None:
            return one_more(condition_of(plan, step, offer))
        case _:
            return _claimed(world.outside, step, offer, claim)


def _claimed(outside: Outside, step: Step, offer: Offer, claim: str) -> Value:
    assert step.loop is not None  # whose cursor this is
    rows = outside.lease(offer, step.loop.cursor, count_of(step.loop.frame_rows, {}), claim)
    items = [rows] if step.loop.whole_frames and rows else rows
    return {"items": items, "total": len(items)}


def _kept(world: World, step: Step, offer: Offer, outcome: Outcome) -> Outcome:
    """A result that the script wants kept is named by its block and attempt: two runs of one write the same."""
    if not (step.tool.kept and isinstance(outcome, BlockCompleted)):
        return outcome
    uri = f"objects/{offer.execution}/{offer.block}/{offer.attempt}"
    if world.outside.objects.setdefault(uri, outcome.result) != outcome.result:
        world.broken.append(f"object differs: {uri}")
    return replace(outcome, result=Ref(uri=uri, bytes=0, sha256="", format="json"))


def hydrated(outside: Outside, offer: Offer) -> Offer:
    """An offer whose references are opened."""
    results = {name: _brought(outside, result) for name, result in offer.results.items()}
    return replace(
        offer,
        results=results,
        item=opened(outside, offer.item),
        resume=opened(outside, offer.resume),
        answer=opened(outside, offer.answer),
    )


def _brought(outside: Outside, result: Value) -> Value:
    found = opened(outside, result)
    return Brought(found, result) if isinstance(result, Ref) else found


def opened(outside: Outside, value: Value) -> Value:
    """A value with all that it refers to in its place. Raises KeyError for what the store lacks."""
    match value:
        case Ref(format="chunks"):
            results = opened(outside, chunks(outside, value))
            return {
                "results": results,
                "data": results,
                **{k: v for k, v in value.parts.items() if "." not in k},
            }
        case Ref():
            return opened(outside, outside.objects[value.uri])
        case Piped():
            return Piped(opened(outside, value.value), opened(outside, value.tasks))
        case dict():
            return {key: opened(outside, each) for key, each in value.items()}
        case list() | tuple():
            return [opened(outside, each) for each in value]
        case _:
            return value


def chunks(outside: Outside, ref: Ref) -> list[Value]:
    """A loop's results as the store has them."""
    moved = {each.first: outside.store.get(each.name) for each in ref.elsewhere}
    names = (f"{ref.uri}/{n}" for n in count())
    parts = takewhile(lambda part: part is not None, map(outside.store.get, names))
    found = [result for part in parts if part is not None for result in part]
    amended = [moved.get(n, (result,)) for n, result in enumerate(found)]
    return [each[0] for each in takewhile(lambda each: each is not None, amended) if each is not None]
