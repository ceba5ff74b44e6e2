"""Iterations that travel together: small ones go several to an offer, and each still has a life and an outcome of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from noetl_stream.core.counts import count_of
from noetl_stream.core.events import BlockId, BlockOffered, Move
from noetl_stream.core.plan import Plan
from noetl_stream.core.run import Run, is_iteration

if TYPE_CHECKING:
    from noetl_stream.core.execution import Execution

BUNDLE = 1_000
"""The largest bundle."""
CLAIMS_BYTES, CLAIM_BYTES = 192 * 1024, 100
"""A claim of a whole bundle is one record, and a claim has so many bytes beside its step's name."""


def size_of(plan: Plan, draft: Execution, step: str) -> int:
    """How many iterations of a step go into one offer, at most."""
    loop = plan.steps[step].loop
    if loop is None or loop.bundle == 1:
        return 1
    room = CLAIMS_BYTES // (CLAIM_BYTES + len(step.encode()))
    return max(1, min(count_of(loop.bundle, draft.workload), BUNDLE, room))


def first_offers(name: str, run: Run, size: int, most: int) -> tuple[Move, ...]:
    """Offers of a loop's next iterations, as many as its limit allows and `most` moves hold.

    In sequence a bundle goes when nothing is in flight. In parallel its iterations count like any, and one waits until
    half of it may go: what ends here and there would crumble the bundles to single iterations.
    """
    free, size = _room(run, size)
    offers, at, end = list[Move](), run.next, run.unbroken(run.count)
    while len(offers) < most and at < end and 2 * free >= (wanted := min(size, end - at)):
        count = min(wanted, free)
        block = BlockId(name, run.epoch, at)
        offers.append(BlockOffered(block=block, attempt=0, segment=0, count=count))
        at, free = at + count, free - count
    return tuple(offers)


def _room(run: Run, size: int) -> tuple[int, int]:
    """How many iterations may be offered now, and in bundles of which size."""
    if run.parallel or size == 1:
        return run.limit - run.working, min(size, run.limit)
    return 0 if run.working else size, size


def bundled(plan: Plan, draft: Execution, moves: Iterable[Move]) -> Iterator[Move]:
    """Moves on blocks whose time is up; iterations that nothing has told apart since they went together go so again."""
    bundle: BlockOffered | None = None
    size = 1
    for move in moves:
        if bundle is not None and bundle.count < size and _follows(bundle, move):
            bundle = replace(bundle, count=bundle.count + 1)
            continue
        if bundle is not None:
            yield bundle
        bundle = move if isinstance(move, BlockOffered) else None
        if bundle is None:
            yield move
        else:
            size = size_of(plan, draft, bundle.block.step)
    if bundle is not None:
        yield bundle


def _follows(bundle: BlockOffered, move: Move) -> bool:
    first = bundle.block
    after = BlockOffered(block=first._replace(iteration=first.iteration + bundle.count), attempt=0, segment=0)
    untouched = bundle.attempt == bundle.segment == 0 and is_iteration(first.iteration)
    return move == after and untouched


def waits_its_turn(execution: Execution, run: Run, key: BlockId) -> bool:
    """Whether an iteration in flight has not begun: of those that go together in sequence the first alone has."""
    if run.parallel or not run.loop or not is_iteration(key.iteration):
        return False
    return key != next(k for k in execution.blocks if k[:2] == key[:2] and is_iteration(k.iteration))


def withdraw_after(execution: Execution, run: Run, key: BlockId) -> None:
    """In sequence nothing overtakes an iteration that has not ended well: what went along with it is taken back.

    Of that, what somebody cancelled in the meantime has ended, and is not to begin again.
    """
    if run.parallel or not is_iteration(key.iteration):
        return
    later = [key._replace(iteration=index) for index in range(key.iteration + 1, run.next)]
    along = [each for each in later if each in execution.blocks]
    if not along:
        return
    for each in along:
        if (early := execution.blocks.pop(each).early) is not None:
            run.early[each.iteration] = early
        execution.awake.pop(each, None)
    run.open, run.next = run.open - len(along), key.iteration + 1
    for each in set(later).difference(along):
        run.barred |= 1 << each.iteration
    run.move_on()
