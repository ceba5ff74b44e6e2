"""The state of one execution: what must be known to decide, and nothing of the past beyond that.

`facts` and `moves` are its only writers. They update in place a state that its caller owns; `draft` gives one to try
things on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from noetl_stream.core.block import Block
from noetl_stream.core.events import (
    BlockCancelRequested,
    BlockId,
    BlockRetryRequested,
    BlocksReported,
    CancelRequested,
    ExecutionEnded,
    ExecutionRequested,
    Move,
)
from noetl_stream.core.facts import fact, reported
from noetl_stream.core.iterations import cancel_one, retry_one
from noetl_stream.core.machine import Machine, MachineFact, Taken, Verdict
from noetl_stream.core.messages import StoreChunk
from noetl_stream.core.moves import apply
from noetl_stream.core.run import Finished, Run, Token
from noetl_stream.core.values import Error, Value, twin


@dataclass(slots=True, kw_only=True)
class Execution(Machine):
    """One machine. What must be known to decide, and nothing of the past beyond that.

    `weights` are the bytes of inline results; `awake` are the blocks that `decide` must act on. `failure` is a step's
    that no arc took; `met` the one for which the playbook's own step for failures runs.
    """

    request: ExecutionRequested
    status: Literal["requested", "running", "ended"] = "requested"
    workload: Mapping[str, Value] = field(default_factory=dict)
    ctx: dict[str, Value] = field(default_factory=dict)
    results: dict[str, Value] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    finished: dict[str, Finished] = field(default_factory=dict)
    tokens: dict[str, tuple[Token, ...]] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    entered: dict[str, int] = field(default_factory=dict)
    blocks: dict[BlockId, Block] = field(default_factory=dict)
    awake: dict[BlockId, None] = field(default_factory=dict)
    failure: Error | None = None
    met: Error | None = None
    deadline: float | None = None
    cancelled: CancelRequested | None = None
    ended: ExecutionEnded | None = None
    seq: int = 0

    def draft(self) -> Execution:
        """A copy on which decisions can be tried. Values are shared; containers that decisions change are not."""
        draft = twin(self)
        draft.runs = {name: run.draft() for name, run in self.runs.items()}
        draft.ctx, draft.results, draft.weights = dict(self.ctx), dict(self.results), dict(self.weights)
        draft.finished, draft.tokens = dict(self.finished), dict(self.tokens)
        draft.epochs, draft.entered = dict(self.epochs), dict(self.entered)
        draft.blocks, draft.awake = dict(self.blocks), dict(self.awake)
        return draft

    @property
    def over(self) -> bool:
        return self.status == "ended"

    def fold(self, event: MachineFact, offset: int) -> Taken:
        match event:
            case CancelRequested():
                return Taken(cancel(self, event, offset))
            case BlockCancelRequested():
                return cancel_one(self, event, offset)
            case BlockRetryRequested():
                return retry_one(self, event, offset)
            case BlocksReported():
                return reported(self, event, offset)
            case _:
                return fact(self, event, offset)

    def apply(self, move: Move, at: float) -> tuple[StoreChunk, ...]:
        return tuple(apply(self, move, at))

    def next_due(self) -> float | None:
        """The moment of the earliest timer: a backoff, a sleep, a lease, an offer nobody answered, the deadline."""
        dues = [b.due for b in self.blocks.values() if b.due is not None]
        if self.deadline is not None:
            dues.append(self.deadline)
        return min(dues, default=None)

    def run_of(self, block: BlockId) -> Run | None:
        run = self.runs.get(block.step)
        return run if run is not None and run.epoch == block.epoch else None


def request(machine: int, event: ExecutionRequested, offset: int) -> Execution:
    """A new execution from its first event."""
    born = Execution(id=machine, request=event, latest=offset, touched=offset, deadline=event.deadline)
    born.alarm = event.deadline
    return born


def cancel(execution: Execution, event: CancelRequested, offset: int) -> Verdict:
    if execution.cancelled is not None:
        return "duplicate"
    execution.cancelled = event
    execution.latest = execution.touched = execution.halted = offset
    return "accepted"
