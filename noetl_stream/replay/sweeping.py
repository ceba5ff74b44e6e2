"""Sweeping the cache: what may go by its storage block or its playbook's `retention`, and what nobody alive needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from noetl_stream.cache.names import EXPIRING, claim_name, execution_of, expiry_of, name_of
from noetl_stream.core.values import Ref
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import Sweepable
from noetl_stream.replay.standing import Standing, refs_in

GRACE = 600.0
"""Seconds beyond its moment for which an object stays: what was reported a moment ago may not be in the log we read."""


@dataclass(slots=True)
class Swept:
    """The objects that may go and those that a live execution needs, by name; `notes` are done with."""

    gone: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def sweep(cache: Sweepable, standing: Standing, now: float, *, dry: bool = False) -> Swept:
    """Remove what may go at `now` (seconds), or with `dry` only find it. Raises InfrastructureError."""
    due = now - GRACE
    notes = [note async for note in cache.names(EXPIRING) if expiry_of(note)[0] <= due]
    over = {execution for execution, until in standing.until.items() if until <= due}
    candidates = {expiry_of(note)[1] for note in notes}
    if over:
        candidates |= {name async for name in cache.names() if execution_of(name) in over}
    needed = await _needed(cache, standing.held) if candidates else set[str]()
    owners = {execution_of(name) for name in needed} & over
    found = Swept()
    for name in sorted(candidates):
        kept = name in needed or execution_of(name) in owners
        (found.needed if kept else found.gone).append(name)
    found.notes = sorted(note for note in notes if expiry_of(note)[1] not in found.needed)
    if not dry:
        await cache.remove([*found.gone, *found.notes])
    return found


async def _needed(cache: Sweepable, held: Iterable[Ref]) -> set[str]:
    """The names of what is held, and of what that holds in turn. Of a loop in chunks, one that stands for all."""
    needed, ahead = set[str](), list(held)
    while ahead:
        ref = ahead.pop()
        name = _name(ref)
        if name is not None and name not in needed:
            needed.add(name)
            ahead += await _within(cache, ref)
    return needed


def _name(ref: Ref) -> str | None:
    if ref.format == "chunks":
        return claim_name(f"{ref.uri}/")
    try:
        return name_of(ref)
    except ToolError:  # text that only looks like a reference
        return None


async def _within(cache: Sweepable, ref: Ref) -> list[Ref]:
    if ref.format != "json":
        return []
    try:
        return list(refs_in(await cache.json(ref)))
    except ToolError:  # gone, and so is what it held
        return []
