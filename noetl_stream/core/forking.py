"""A new execution that goes on from a moment of another one: its past is written into its first event, and read from there.

So the fold of a fork needs its own log alone. What the past refers to in the cache stays where it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import fields, replace

from noetl_stream.core.block import Block
from noetl_stream.core.events import ROUTE, BlockId, ExecutionRequested
from noetl_stream.core.execution import Execution
from noetl_stream.core.past import Past
from noetl_stream.core.plan import Plan
from noetl_stream.core.reopening import moved, reopen
from noetl_stream.core.run import Run, loop_name
from noetl_stream.core.values import Value

PAST_BYTES = 16 * 1024 * 1024
"""The most that a past may take once it is unpacked."""


class Unfoldable(ValueError):
    """The first event of a fork does not hold a past."""


def forked(machine: int, event: ExecutionRequested, offset: int) -> Execution:
    """A new execution from its first event. Raises Unfoldable."""
    assert event.fork is not None  # its caller asked
    past = unpacked(event.fork.past)
    request = replace(event, fork=replace(event.fork, past=None))
    born = Execution(id=machine, request=request, latest=offset, touched=offset, deadline=event.deadline)
    born.status, born.alarm, born.seq = "running", event.deadline, past.seq
    born.workload = laid_over(past.workload, event.fork.sets)
    born.ctx, born.results, born.weights = dict(past.ctx), dict(past.results), dict(past.weights)
    born.runs, born.finished, born.tokens = dict(past.runs), dict(past.finished), dict(past.tokens)
    born.epochs, born.entered = dict(past.epochs), dict(past.entered)
    born.failure, born.met = past.failure, past.met
    born.blocks = {key: Block(status="ready") for key in past.blocks}
    born.awake = dict.fromkeys(past.blocks)
    return born


def laid_over(below: Value, above: Value) -> Value:
    """Deep for mappings; all else replaces."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    merged = {key: laid_over(below[key], value) if key in below else value for key, value in above.items()}
    return {**below, **merged}


def past_of(execution: Execution, anew: BlockId | None = None) -> Past:
    """What a fork of `execution` begins with, as it is now. What is in flight begins anew there, and so does `anew`.

    Nothing of `execution` is changed.
    """
    known = {field.name: getattr(execution, field.name) for field in fields(Past)}
    routing = {key for key in execution.blocks if key.iteration == ROUTE}
    known["blocks"] = tuple(key for key in execution.blocks if key not in routing)
    past = _copied(Past(**known))
    for name, run in past.runs.items():
        _begin_again(run, routes=any(key.step == name for key in routing))
        run.elsewhere = moved(run, loop_name(execution.id, name, run.epoch), _in_flight(past, name))
    if anew is not None and anew not in past.blocks:
        run = past.runs[anew.step]
        if run.queued(anew.iteration) is None:
            reopen(run, anew.iteration, 0)
    return past


def misfit(plan: Plan, past: Past) -> str | None:
    """Why an execution of this plan cannot go on from that past; None if it can."""
    for name in (*past.runs, *past.tokens):
        if name not in plan.steps:
            return f"it has no step '{name}', where the past stands"
    for name, run in past.runs.items():
        if run.loop != (plan.steps[name].loop is not None):
            return f"its step '{name}' has {'no' if run.loop else 'a'} loop, unlike where the past stands"
    return None


def _in_flight(past: Past, step: str) -> frozenset[int]:
    return frozenset(key.iteration for key in past.blocks if key.step == step)


def _begin_again(run: Run, *, routes: bool) -> None:
    """No attempt has been made in the new execution, and nobody has concluded how the step ends."""
    run.open -= routes
    if run.unroutable:
        run.error = next(iter(run.failing.values()), None)
    run.routed, run.unroutable, run.attempts = None, False, 0
    run.again = tuple((index, 0) for index, _ in run.again)


def packed(past: Past) -> bytes:
    """A past as the first event of a fork holds it. Raises Unfoldable for one that nobody would unpack."""
    # It knows every class of a state, those that import this module too.
    from noetl_stream.core.snapshot import dump

    text = dump(past)
    if len(text) > PAST_BYTES:
        raise Unfoldable(f"the past is larger than {PAST_BYTES} bytes")
    return zlib.compress(text, 9)


def unpacked(body: bytes | None) -> Past:
    """Raises Unfoldable."""
    from noetl_stream.core.snapshot import load  # as in `packed`

    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(body or b"", PAST_BYTES)
        if not unpacking.eof:
            raise Unfoldable(f"the past is cut off, or larger than {PAST_BYTES} bytes")
        past = load(text)
    except (zlib.error, ValueError, TypeError, LookupError, AttributeError) as fault:
        raise Unfoldable(str(fault)) from fault
    if not isinstance(past, Past):
        raise Unfoldable("this is not the past of an execution")
    return past


def _copied(past: Past) -> Past:
    """Runs are updated in place, so none is shared."""
    from noetl_stream.core.snapshot import dump, load  # as in `packed`

    copied: Past = load(dump(past))
    return copied
