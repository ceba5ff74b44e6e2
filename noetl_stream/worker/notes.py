"""Where a pipeline stands, so that another slot, on any worker, can go on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noetl_stream.core.values import Envelope, Value
from noetl_stream.ports.frames import Cache
from noetl_stream.worker.keep import keep, key_of
from noetl_stream.worker.sites import Desk

NOTE_BYTES = 1024
"""A value up to this size stays in the notes; a larger one is left in the cache."""
LAYERS = ("tasks", "local", "ctx", "iter", "step")
"""What of a desk goes into the notes."""


@dataclass(slots=True, kw_only=True)
class Notes:
    """The task to run next; how often each was tried since it was last left, visited in all, and tried in all.

    `total` counts the tries of this segment. A new visit of a task has a new effect key; a retry has not. `rounds` are
    the items and results so far of a task that goes over a list of its own.
    """

    task: int = 0
    tries: dict[str, int] = field(default_factory=dict)
    visits: dict[str, int] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    total: int = 0
    rounds: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, resume: Mapping[str, Any]) -> Notes:
        """Notes that an earlier segment or attempt left. The log has some from before a task had rounds of its own."""
        tries, visits, turns = (dict(resume[name]) for name in ("tries", "visits", "turns"))
        rounds = dict(resume.get("rounds", {}))
        return cls(task=resume["task"], tries=tries, visits=visits, turns=turns, rounds=rounds)

    def count(self, task: str) -> None:
        """One more try of a task."""
        self.tries[task] = self.tries.get(task, 0) + 1
        self.turns[task] = self.turns.get(task, 0) + 1
        self.total += 1
        if self.tries[task] == 1:
            self.visits[task] = self.visits.get(task, 0) + 1

    def leave(self, task: str) -> None:
        """The pipeline goes on: the next try of this task is a new visit."""
        self.tries.pop(task, None)
        self.rounds.pop(task, None)

    def next_round(self, task: str) -> None:
        """The task goes on to its next item: a new visit, of the same task."""
        self.tries.pop(task, None)

    def visit(self, task: str) -> int:
        return self.visits.get(task, 1)


async def written(cache: Cache, notes: Notes, desk: Desk) -> Value:
    """The notes and the desk for an event: large results stay in the cache."""
    return {
        "task": notes.task,
        "tries": notes.tries,
        "visits": notes.visits,
        "turns": notes.turns,
        "rounds": {
            name: await _kept(cache, desk, f"rounds.{name}", each) for name, each in notes.rounds.items()
        },
        "output": None if desk.previous is None else await _envelope(cache, desk, desk.previous),
        **{layer: await _layer(cache, desk, layer) for layer in LAYERS},
    }


async def _layer(cache: Cache, desk: Desk, layer: str) -> Value:
    values: Mapping[str, Value] = getattr(desk, layer)
    return {name: await _kept(cache, desk, f"{layer}.{name}", value) for name, value in values.items()}


async def _envelope(cache: Cache, desk: Desk, output: Envelope) -> Value:
    """The envelope that the next task's config reads; its result stands in it twice and is noted once."""
    fields = {name: value for name, value in output.fields.items() if name != "response"}
    return await _kept(cache, desk, "output", fields)


async def _kept(cache: Cache, desk: Desk, name: str, value: Any) -> Value:
    return await keep(cache, key_of(desk.offer, f"note-{name}"), value, inline_limit=NOTE_BYTES)


def restore(desk: Desk, resume: Mapping[str, Any]) -> None:
    """Lay out a desk as it was."""
    for layer in LAYERS:
        setattr(desk, layer, dict(resume[layer]))
    output = resume["output"]
    if output is not None:
        desk.previous = Envelope({**output, "response": output["data"]})
