"""The books of a loop in which an iteration ends out of its turn, or runs again: what it counted for is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from noetl_stream.core.messages import StoreChunk
from noetl_stream.core.run import CHUNK, Run, json_size
from noetl_stream.core.values import Elsewhere, Value


def bar(run: Run, index: int) -> None:
    """An iteration that has not begun, or was to run again, is not to: it counts as in flight, until it has failed."""
    run.open += 1
    run.again = tuple(each for each in run.again if each[0] != index)
    if index >= run.next:
        run.barred |= 1 << index
        run.move_on()


def reopen(run: Run, index: int, attempt: int) -> None:
    """An iteration that ended is to run again: neither its result nor its failure counts any more."""
    run.again = (*run.again, (index, attempt))
    run.ended -= 1
    run.failed &= ~(1 << index)
    lost = run.failing.pop(index, None)
    if lost is not None and run.error == lost:
        run.error = next(iter(run.failing.values()), None)
    _take_back(run, index)
    run.batches = tuple(replace(b, left=b.left + 1) if b.holds(index) else b for b in run.batches)


def _take_back(run: Run, index: int) -> None:
    """Its result. One that left the state with its chunk stays there, and the next stands beside the chunk."""
    if index not in run.results:
        run.reopened = (*run.reopened, index)
        return
    run.result_bytes -= json_size(run.results.pop(index))
    chunk = index // CHUNK
    if chunk in run.filled:
        run.filled[chunk] -= 1


def amend(run: Run, name: str, index: int, result: Value) -> StoreChunk:
    """The result of an iteration whose chunk is in the cache already, for an object of its own."""
    run.ended += 1
    run.result_bytes += json_size(result)
    run.leave_batch(index)
    run.reopened = tuple(each for each in run.reopened if each != index)
    run.elsewhere = (
        *(e for e in run.elsewhere if (e.first, e.count) != (index, 1)),
        Elsewhere(index, 1, name),
    )
    return StoreChunk(name=name, results=(result,))


def stored_chunks(run: Run, in_flight: frozenset[int]) -> Iterator[int]:
    """The full chunks that have left the state; `in_flight` are the iterations whose outcome is awaited."""
    for chunk in range(-(-run.count // CHUNK)) if run.stored else ():
        first = chunk * CHUNK
        begun = first < run.next and (first not in in_flight or first in run.reopened)
        if begun and chunk not in run.filled:
            yield chunk


def moved(run: Run, name: str, in_flight: frozenset[int]) -> tuple[Elsewhere, ...]:
    """Where the loop's stored results are for a run of another name: in the chunks of `name`, and what amends them."""
    known = {each.first for each in run.elsewhere if each.count > 1}
    own = (
        Elsewhere(chunk * CHUNK, CHUNK, f"{name}/{chunk}")
        for chunk in stored_chunks(run, in_flight)
        if chunk * CHUNK not in known
    )
    return (*own, *run.elsewhere)
