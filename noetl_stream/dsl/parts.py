"""Which parts of each step's result the orchestrator will read, so that a worker can send them along."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from noetl_stream.core.names import ENVELOPE
from noetl_stream.core.plan import Arc, Path
from noetl_stream.dsl.world import Decided

_OWN = frozenset({"result", "response"})
_DATA = frozenset({"data", "response", "result"})


def parts_of_steps(
    decided: Iterable[Decided], arcs: Mapping[str, tuple[Arc, ...]]
) -> Mapping[str, frozenset[Path]]:
    """For each step the paths below its result; () is the whole of it."""
    found: defaultdict[str, set[Path]] = defaultdict(set)
    for each in decided:
        owners = _sources(each, arcs)
        for path in each.expression.reads:
            for step, below in _below(path, owners):
                # A whole result that is only handed on travels as its reference.
                if step in arcs and (below or path not in each.expression.passes):
                    found[step].add(below)
    return {step: frozenset(paths) for step, paths in found.items()}


def _sources(each: Decided, arcs: Mapping[str, tuple[Arc, ...]]) -> tuple[str, ...]:
    """The steps whose result `result` means there: this step's, or before it runs, those that lead to it."""
    if not each.before:
        return (each.step,)
    return tuple(step for step, ways in arcs.items() if any(arc.target == each.step for arc in ways))


def _below(path: Path, owners: tuple[str, ...]) -> list[tuple[str, Path]]:
    root, *rest = path
    match root:
        case "steps":
            return [(rest[0], below)] if rest and (below := _of_envelope(tuple(rest[1:]))) is not None else []
        case "output":
            below = _of_envelope(tuple(rest))
            return [(step, below) for step in owners] if below is not None else []
        case _ if root in _OWN:
            return [(step, tuple(rest)) for step in owners]
        case _:
            return [(root, tuple(rest))]


def _of_envelope(path: Path) -> Path | None:
    """The path below the data of an envelope; None if it is one of the envelope's own fields."""
    if not path:
        return ()
    if path[0] in _DATA:
        return path[1:]
    return None if path[0] in ENVELOPE else path
