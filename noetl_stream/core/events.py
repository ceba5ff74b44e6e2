"""Everything the event log can say. Facts are appended by whoever knows them; decisions by a partition's owner alone.

What is released here is for ever: a change is a new schema version and an upcaster, never an edit.
Times are seconds since the epoch, UTC, as the writer's clock had them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from noetl_stream.core.answers import CallbackReceived, ChildEnded
from noetl_stream.core.parts import (
    ITEMS,
    PROBES,
    ROUTE,
    BlockId,
    Callback,
    Child,
    CredentialUse,
    Fork,
    Parent,
    Retry,
    Sleep,
    Target,
    Wait,
)
from noetl_stream.core.values import Error, Ref, Value

__all__ = [
    "ITEMS",
    "PROBES",
    "ROUTE",
    "BlockId",
    "Callback",
    "CallbackReceived",
    "Child",
    "ChildEnded",
    "CredentialUse",
    "Fork",
    "Parent",
    "Retry",
    "Sleep",
    "Target",
    "Wait",
]
"""The words of `parts` and `answers` that are read here, beside all that this module says itself."""

Status: TypeAlias = Literal["COMPLETED", "FAILED", "CANCELLED"]


# Facts about an execution


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRequested:
    """Somebody asked for a playbook. Pins what will run; `identity` is the 128-bit hash, in hex, behind the id."""

    identity: str
    path: str
    version: int
    digest: str
    catalog_offset: int
    payload: Value
    seed: str
    time: float
    tenant: str = "default"
    actor: str | None = None
    parent: Parent | None = None
    return_step: str | None = None
    reply_to: str | None = None
    correlation: str | None = None
    deadline: float | None = None
    priority: str | None = None
    trace: str | None = None
    fork: Fork | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """Somebody asked to stop. Final once accepted."""

    time: float
    reason: str = ""
    actor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCancelRequested:
    """Somebody asked that one iteration stop, or never begin, as long as it is at `attempt`. It has then failed."""

    block: BlockId
    attempt: int
    time: float
    reason: str = ""
    actor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRetryRequested:
    """Somebody asked that one iteration run again, as `attempt`; with `force` one that succeeded does, too."""

    block: BlockId
    attempt: int
    time: float
    force: bool = False
    actor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockClaimed:
    """A run holds the block until `renew_by`; later claims by the same run renew it."""

    block: BlockId
    attempt: int
    segment: int
    run: str
    renew_by: float
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContested:
    """Another run claimed this effect, which may happen once only, before this one could: `effect` is its idempotency key.

    Whoever claimed it has until `deadline` to report; this run ended without touching anything.
    """

    block: BlockId
    attempt: int
    segment: int
    run: str
    task: str
    effect: str
    deadline: float
    time: float
    credentials: tuple[CredentialUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCompleted:
    """The tool succeeded. `writes` are its `set`s ({"ctx.x": …}); `tries` counts in-slot attempts; `http` is the answer's head.

    `findings` is what the step's contract found in the result: `{rows, violations, on_violation, checks, quarantined}`,
    `credentials` are those that its tasks resolved.
    """

    block: BlockId
    attempt: int
    segment: int
    run: str
    result: Value
    time: float
    writes: Mapping[str, Value] = field(default_factory=dict)
    tries: int = 1
    duration_ms: float = 0.0
    http: Value = None
    findings: Value = None
    credentials: tuple[CredentialUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFailed:
    """The tool failed and its policy said `fail`, or `retry` after a while. `result` is what it still returned, `findings`
    why a contract refused it."""

    block: BlockId
    attempt: int
    segment: int
    run: str
    error: Error
    time: float
    retry: Retry | None = None
    result: Value = None
    writes: Mapping[str, Value] = field(default_factory=dict)
    tries: int = 1
    duration_ms: float = 0.0
    http: Value = None
    findings: Value = None
    credentials: tuple[CredentialUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockParked:
    """The block waits for something outside and holds no slot; its next segment goes on at `resume`."""

    block: BlockId
    attempt: int
    segment: int
    run: str
    wait: Wait
    time: float
    resume: Value = None
    writes: Mapping[str, Value] = field(default_factory=dict)
    tries: int = 1
    credentials: tuple[CredentialUse, ...] = ()


Outcome: TypeAlias = BlockCompleted | BlockFailed | BlockParked
Report: TypeAlias = Outcome | BlockContested
"""How a run of a block ends. After a contested one, the outcome is another run's to tell."""
Answer: TypeAlias = ChildEnded | CallbackReceived
BlockFact: TypeAlias = BlockClaimed | Report | Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksReported:
    """What a worker says at once of iterations that travelled together. Each counts, or does not, by itself and in order."""

    facts: tuple[BlockClaimed | Report, ...]


BlockWish: TypeAlias = BlockCancelRequested | BlockRetryRequested
Fact: TypeAlias = ExecutionRequested | CancelRequested | BlockWish | BlockFact | BlocksReported


# What a decision says


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStarted:
    """Inputs rendered; a token stands at the entry step.

    `retain` are the seconds for which its results are kept once it has ended, by what is kept: `results`, or `all`.
    """

    workload: Mapping[str, Value]
    entry: str
    deadline: float | None = None
    retain: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMet:
    """The execution fails with `error`, and the step that the playbook has for it runs before it ends."""

    step: str
    error: Error


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEntered:
    """A step's next epoch begins. `items` is the collection: a list, n for 0..n-1, a Ref, or None while it is materialised.

    `total` is None until the collection is known. What the fold must know of the plan stands here: `loop`,
    `parallel`, `on_error`, the `limit` of iterations in flight, and how many waiting `tokens` enter together (all, at
    a join). A loop that `grows` has no collection: probes find more, up to `frames` of them in flight.
    """

    step: str
    epoch: int
    total: int | None = 1
    items: list[Value] | int | Ref | None = None
    loop: bool = False
    parallel: bool = False
    on_error: Literal["fail", "continue"] = "fail"
    limit: int = 1
    tokens: int = 1
    via: str | None = None
    args: Value = None
    grows: bool = False
    frames: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopClosed:
    """A growing loop gets no more iterations: its condition no longer holds, or could not be evaluated (`error`)."""

    step: str
    epoch: int
    error: Error | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOffered:
    """A block is put to its pool, for the first time or again; with `count`, it and so many iterations in all, together."""

    block: BlockId
    attempt: int
    segment: int
    count: int = 1

    @property
    def blocks(self) -> tuple[BlockId, ...]:
        """All that are offered, in order."""
        first = self.block.iteration
        return tuple(self.block._replace(iteration=k) for k in range(first, first + self.count))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLost:
    """The run that had claimed an effect has not reported in time: nobody knows whether it happened."""

    block: BlockId
    attempt: int
    segment: int
    error: Error


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRequested:
    """The child a parked block asked for is started."""

    block: BlockId
    attempt: int
    segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """A step's epoch is over: its `set` and the chosen arcs' are written, tokens go to `targets`.

    A failed step without targets fails the execution once its running siblings have finished.
    """

    step: str
    epoch: int
    status: Literal["done", "failed", "skipped"]
    targets: tuple[Target, ...] = ()
    writes: Mapping[str, Value] = field(default_factory=dict)
    error: Error | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionEnded:
    """The last event of an execution."""

    status: Status
    result: Value = None
    error: Error | None = None


Move: TypeAlias = (
    ExecutionStarted
    | StepEntered
    | LoopClosed
    | BlockOffered
    | BlockLost
    | ChildRequested
    | StepFinished
    | FailureMet
    | ExecutionEnded
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """All that an owner decided at once. Identified by (machine, `after`): the offset up to which it had folded."""

    fence: int
    after: int
    at: float
    moves: tuple[Move, ...]


# Facts about a partition


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionTaken:
    """An owner begins; this record's offset is its fence."""

    owner: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRejected:
    """The record at `offset` cannot be read by the owner, and counts for no reader: who has folded it folds again without."""

    fence: int
    offset: int
    reason: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionQuarantined:
    """Our own code failed on this execution: it is set aside, the partition goes on."""

    fence: int
    reason: str
    time: float


Event: TypeAlias = Fact | Decision | PartitionTaken | RecordRejected | ExecutionQuarantined
