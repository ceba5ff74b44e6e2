"""Bringing referenced values to a block: JSON as it was, tables as frames that map the cached bytes, loops as lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from noetl_stream.core.events import ROUTE
from noetl_stream.core.messages import BROUGHT, Offer
from noetl_stream.core.plan import Path
from noetl_stream.core.run import CHUNK
from noetl_stream.core.values import Brought, Piped, Ref, Value
from noetl_stream.ports.frames import Cache, Frame
from noetl_stream.wire.values import decode_value
from noetl_stream.worker.elements import EVERYTHING, elements_read
from noetl_stream.worker.rows import JsonRows


async def whole_offer(cache: Cache, offer: Offer) -> Offer:
    """The offer with the values that were too large to travel with it."""
    if offer.rest is None:
        return offer
    brought = decode_value(await cache.read(offer.rest))
    return replace(offer, **brought, rest=None)


async def hydrate_offer(cache: Cache, offer: Offer, reads: Iterable[Path] = EVERYTHING) -> Offer:
    """The offer with every reference that its templates may read replaced by what it stands for.

    `reads` are the paths that they read: where these name elements of a loop's results, no other is fetched.
    """
    if not _mentions_ref(offer):
        return offer
    found = {name: await hydrate(cache, getattr(offer, name)) for name in BROUGHT if name != "results"}
    results = {
        name: await _brought(cache, each, elements_read(name, reads, offer.via))
        for name, each in offer.results.items()
    }
    return replace(offer, **found, results=results, resume=await _noted(cache, offer))


async def _noted(cache: Cache, offer: Offer) -> Value:
    """What a block is told of before. To a routing block that is its step's result, externalised or not."""
    notes = await hydrate(cache, offer.resume)
    if offer.block.iteration != ROUTE:
        return notes
    return {**notes, "result": await _brought(cache, offer.resume["result"])}


async def _brought(cache: Cache, result: Value, only: frozenset[int] | None = None) -> Value:
    """A step's result; one that was externalised still tells its reference."""
    found = await hydrate(cache, result) if only is None else await elements_of(cache, result, only)
    match result:
        case (Ref() as ref) | Piped(value=Ref() as ref):
            return Brought(found, ref)
        case _:
            return found


def _mentions_ref(offer: Offer) -> bool:
    return any(has_ref(getattr(offer, name)) for name in (*BROUGHT, "resume"))


def has_ref(value: Value) -> bool:
    match value:
        case Ref():
            return True
        case Piped():
            return has_ref(value.value) or has_ref(value.tasks)
        case dict():
            return any(has_ref(v) for v in value.values())
        case list() | tuple():
            return any(has_ref(v) for v in value)
        case _:
            return False


async def hydrate(cache: Cache, value: Any) -> Any:
    """A value with every `Ref` in it resolved."""
    match value:
        case Ref():
            return await resolve(cache, value)
        case Piped():
            return Piped(await hydrate(cache, value.value), await hydrate(cache, value.tasks))
        case dict():
            return (
                {key: await hydrate(cache, each) for key, each in value.items()} if has_ref(value) else value
            )
        case list() | tuple():
            return [await hydrate(cache, each) for each in value] if has_ref(value) else value
        case _:
            return value


async def resolve(cache: Cache, ref: Ref) -> Value | Frame:
    """What a reference stands for. Results inside it may be references again."""
    match ref.format:
        case "arrow":
            return JsonRows(await cache.frame(ref))
        case "json":
            return await hydrate(cache, await cache.json(ref))
        case "chunks":
            return await _loop(cache, ref)


async def elements_of(cache: Cache, result: Value, only: frozenset[int]) -> Value:
    """A loop's result of which nobody reads other elements than these: what is at the others is not fetched."""
    match result:
        case Ref(format="chunks"):
            results = [None] * (result.rows or 0)
            for chunk, numbers in _by_chunk(only, len(results)):
                stored = await _chunk(cache, result, chunk)
                for number in numbers:
                    results[number] = await hydrate(cache, stored[number - chunk * CHUNK])
            return _looped(result, results)
        case {"results": list() as found, "stats": _, **rest}:
            read = {number for _, numbers in _by_chunk(only, len(found)) for number in numbers}
            results = [await hydrate(cache, each) if n in read else each for n, each in enumerate(found)]
            return {**rest, "stats": result["stats"], "results": results, "data": results}
        case _:
            return await hydrate(cache, result)


def _by_chunk(only: frozenset[int], total: int) -> Iterator[tuple[int, list[int]]]:
    """The elements that there are, counted from the end where negative, by the chunk that holds them."""
    numbers = sorted({n % total for n in only if -total <= n < total})
    return ((chunk, list(within)) for chunk, within in groupby(numbers, lambda n: n // CHUNK))


async def _loop(cache: Cache, ref: Ref) -> Value:
    """A loop's result, put together from its chunks."""
    results: list[Value] = []
    for chunk in range(-(-(ref.rows or 0) // CHUNK)):
        results += await hydrate(cache, await _chunk(cache, ref, chunk))
    return _looped(ref, results)


async def _chunk(cache: Cache, ref: Ref, number: int) -> list[Value]:
    """A chunk as it counts: from where it stands, with those results that stand elsewhere."""
    first, name = number * CHUNK, f"{ref.uri}/{number}"
    mine = [each for each in ref.elsewhere if first <= each.first < first + CHUNK]
    found = await _stored(cache, next((each.name for each in mine if each.count > 1), name))
    for each in mine:
        if each.count == 1:
            [found[each.first - first]] = await _stored(cache, each.name)
    return found


async def _stored(cache: Cache, name: str) -> list[Value]:
    found: list[Value] = decode_value(await cache.read(name))
    return found


def _looped(ref: Ref, results: list[Value]) -> Value:
    summary = {key: part for key, part in ref.parts.items() if "." not in key}
    return {"results": results, "data": results, **summary}
