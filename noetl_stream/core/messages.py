"""What an accepted decision makes the owner send. Derived from the state, so sending one twice is sending it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from noetl_stream.core.events import BlockId, Child, Parent, Status
from noetl_stream.core.values import Error, Ref, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A block for its pool: what to run, by playbook and step, and only those values that it reads.

    `workload`, `ctx` and `results` are filtered to what the step's templates read; `steps` holds envelopes. `item`
    is this iteration's, or stands in `items` at `row`. With a `count` above 1 the next iterations come along: `item` is
    the list of theirs, in `items` they stand from `row` on. `resume` are the worker's own notes
    from the segment or attempt before, `variables` the step's own ({"step.x": …}), `answer` what a parked block waited for. `at` is the decision's now.
    """

    execution: int
    block: BlockId
    attempt: int
    segment: int
    pool: str
    path: str
    version: int
    digest: str
    catalog_offset: int
    tenant: str
    seed: str
    at: float
    total: int
    inline_limit: int
    priority: str | None = None
    deadline: float | None = None
    trace: str | None = None
    workload: Mapping[str, Value] = field(default_factory=dict)
    ctx: Mapping[str, Value] = field(default_factory=dict)
    results: Mapping[str, Value] = field(default_factory=dict)
    steps: Mapping[str, Value] = field(default_factory=dict)
    item: Value = None
    items: Ref | None = None
    row: int = 0
    count: int = 1
    via: str | None = None
    args: Value = None
    error: Error | None = None
    resume: Value = None
    variables: Mapping[str, Value] = field(default_factory=dict)
    answer: Value = None
    answered: bool = False
    rest: str | None = None


BROUGHT: Mapping[str, Value] = MappingProxyType(
    {
        "workload": {}, "ctx": {}, "results": {}, "steps": {}, "variables": {},
        "item": None, "args": None, "answer": None,
    }
)  # fmt: skip
"""The values that an offer brings, each with what stands for none; `rest` names where they are if it is too large for them.
The notes in `resume` are small, and stay: a worker hands them back even where it cannot reach the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartChild:
    """Request another playbook's execution for a parked block. Its `seed` is drawn from its parent's, which nobody can guess."""

    parent: Parent
    child: Child
    tenant: str
    seed: str
    deadline: float | None = None
    priority: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyParent:
    """Tell the block that waits for it how this execution ended."""

    parent: Parent
    child: int
    status: Status
    result: Value = None
    error: Error | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer whoever asked, on their own topic."""

    execution: int
    reply_to: str
    path: str
    version: int
    status: Status
    correlation: str | None = None
    result: Value = None
    error: Error | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyAgain:
    """A request came again after its execution ended: answer from the record at `offset`."""

    execution: int
    offset: int
    reply_to: str
    path: str
    version: int
    correlation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelExecution:
    """A parent ended: its running child is to be cancelled."""

    parent: Parent
    identity: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopBlocks:
    """Hint to the workers: what they still run for this execution is no longer wanted; of one `block`, if it is named, its
    attempts up to `attempt`."""

    execution: int
    block: BlockId | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreChunk:
    """A thousand loop results that leave the state for the cache, under a name derived from the log."""

    name: str
    results: tuple[Value, ...]


Message: TypeAlias = (
    Offer | StartChild | NotifyParent | Reply | ReplyAgain | CancelExecution | StopBlocks | StoreChunk
)
