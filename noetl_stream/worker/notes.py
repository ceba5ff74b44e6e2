"""Where a pipeline stands, so that another slot, on any worker, can go on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noetl_stream.core.values import Value
from noetl_stream.ports.frames import Cache, FrameKey
from noetl_stream.worker.keep import keep
from noetl_stream.worker.sites import Desk

NOTE_BYTES = 1024
"""A task's result up to this size stays in the notes; a larger one is left in the cache."""


@dataclass(slots=True, kw_only=True)
class Notes:
    """The task to run next; how often each was tried since it was last left, and visited in all.

    `total` counts the tries of this segment. A new visit of a task has a new effect key; a retry has not.
    """

    task: int = 0
    tries: dict[str, int] = field(default_factory=dict)
    visits: dict[str, int] = field(default_factory=dict)
    total: int = 0

    @classmethod
    def of(cls, resume: Mapping[str, Any]) -> Notes:
        """Notes that an earlier segment or attempt left."""
        return cls(task=resume["task"], tries=dict(resume["tries"]), visits=dict(resume["visits"]))

    def count(self, task: str) -> None:
        """One more try of a task."""
        self.tries[task] = self.tries.get(task, 0) + 1
        self.total += 1
        if self.tries[task] == 1:
            self.visits[task] = self.visits.get(task, 0) + 1

    def leave(self, task: str) -> None:
        """The pipeline goes on: the next try of this task is a new visit."""
        self.tries.pop(task, None)

    def visit(self, task: str) -> int:
        return self.visits.get(task, 1)


async def written(cache: Cache, notes: Notes, desk: Desk) -> Value:
    """The notes and the desk for an event: large results stay in the cache."""
    return {
        "task": notes.task,
        "tries": notes.tries,
        "visits": notes.visits,
        "tasks": {name: await _kept(cache, desk, name, value) for name, value in desk.tasks.items()},
        "local": {name: await _kept(cache, desk, name, value) for name, value in desk.local.items()},
        "ctx": desk.ctx,
        "iter": desk.iter,
        "step": desk.step,
    }


async def _kept(cache: Cache, desk: Desk, name: str, value: Any) -> Value:
    offer = desk.offer
    key = FrameKey(execution=offer.execution, block=offer.block, attempt=offer.attempt, name=f"note-{name}")
    return await keep(cache, key, value, inline_limit=NOTE_BYTES)


def restore(desk: Desk, resume: Mapping[str, Any]) -> None:
    """Lay out a desk as it was."""
    desk.tasks, desk.local = dict(resume["tasks"]), dict(resume["local"])
    desk.ctx, desk.iter, desk.step = dict(resume["ctx"]), dict(resume["iter"]), dict(resume["step"])
