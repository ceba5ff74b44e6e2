"""One epoch of one step: which iterations ran, what they gave. Its size does not grow with the loop beyond a chunk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import quote

from noetl_stream.core.events import CallbackReceived, StepEntered, StepFinished
from noetl_stream.core.messages import StoreChunk
from noetl_stream.core.values import Elsewhere, Error, Ref, Value, twin

CHUNK = 1_000
"""Iterations per stored chunk of results."""
INLINE_BYTES = 64 * 1024
"""A collection or a loop's results up to this size (as JSON) stay in the log; larger ones go to the cache."""

INPUT_BYTES = 160 * 1024
"""What a request's payload and an execution's inputs take at most (as JSON): with a step's collection beside them, a record stays below 256 KiB."""


def json_size(value: Value) -> int:
    """Bytes of `value` as JSON, about; cheap for scalars. References count as 200."""
    match value:
        case None | bool() | int() | float():
            return 8
        case str():
            return len(value) + 2
        case _:
            return len(json.dumps(value, default=_sized, separators=(",", ":")))


def _sized(ref: object) -> str:
    return "." * 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one probe of a growing loop found: `count` iterations from `start` on, `left` of which have not ended."""

    start: int
    count: int
    left: int
    items: list[Value] | Ref

    def holds(self, index: int) -> bool:
        return self.start <= index < self.start + self.count


@dataclass(slots=True, kw_only=True)
class Run:
    """A step while it runs. Iterations below `next` were started; those in flight are the execution's blocks.

    `count` is the number of iterations as far as it is known, `total` the same once it is final; until then `batches`
    bring more. `writes` waits for the end of a parallel loop, each name with the last index that wrote it; elsewhere a
    `ctx` write counts at once. `variables` are `step.*` and, without a loop, `iter.*`. `failed` is a bitset of iterations
    that failed. `open` counts blocks in flight. Of a growing loop `probes` counts the blocks that asked for more, up to
    `frames` of them at once, `probing` those in flight; `dry` tells that one found nothing, `last` is the latest result,
    for its condition. `routed` is what a worker concluded of the step's ending, `unroutable` that it could not.
    `findings` are those of its contract, counted over a loop's iterations.

    Iterations out of their turn: `failing` are those whose failure fails the loop, the first of them its `error`; `again`
    those that are to run again, each as which attempt; `reopened` those of them, also in flight, whose former result is in
    the cache; `elsewhere` is where results stand that are not in the loop's own chunks; `barred` is a bitset of those that
    were cancelled before they began; `attempts` is the highest at which one has ended; `early` are answers to those that
    were taken back before they could ask.
    """

    epoch: int
    total: int | None
    items: list[Value] | int | Ref | None
    loop: bool
    parallel: bool
    on_error: Literal["fail", "continue"]
    limit: int
    entered_at: float
    via: str | None = None
    args: Value = None
    count: int = 0
    next: int = 0
    open: int = 0
    ended: int = 0
    failed: int = 0
    tries: int = 0
    error: Error | None = None
    http: Value = None
    duration_ms: float = 0.0
    results: dict[int, Value] = field(default_factory=dict)
    result_bytes: int = 0
    filled: dict[int, int] = field(default_factory=dict)
    stored: int = 0
    grows: bool = False
    frames: int = 1
    probes: int = 0
    probing: int = 0
    dry: bool = False
    batches: tuple[Batch, ...] = ()
    last: Value = None
    admitted: bool = True
    writes: dict[str, tuple[int, Value]] = field(default_factory=dict)
    variables: dict[str, Value] = field(default_factory=dict)
    routed: Value = None
    unroutable: bool = False
    findings: Value = None
    failing: dict[int, Error] = field(default_factory=dict)
    again: tuple[tuple[int, int], ...] = ()
    reopened: tuple[int, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()
    barred: int = 0
    attempts: int = 0
    early: dict[int, CallbackReceived] = field(default_factory=dict)

    @classmethod
    def entered(cls, event: StepEntered, at: float) -> Run:
        return cls(
            epoch=event.epoch,
            total=event.total,
            items=event.items,
            loop=event.loop,
            parallel=event.parallel,
            on_error=event.on_error,
            limit=event.limit,
            entered_at=at,
            via=event.via,
            args=event.args,
            grows=event.grows,
            frames=event.frames,
            count=event.total or 0,
        )

    def draft(self) -> Run:
        """A copy whose counters may be moved by decisions; what only facts change is shared."""
        return twin(self)

    @property
    def complete(self) -> bool:
        """Nothing in flight, and nothing left to start."""
        if self.open or self.again:
            return False
        return self.error is not None or (self.total is not None and self.next >= self.total)

    @property
    def working(self) -> int:
        """Blocks in flight that do not ask for more."""
        return self.open - self.probing

    @property
    def chunked(self) -> bool:
        return self.count > CHUNK or self.stored > 0

    def last_open(self) -> bool:
        """Whether the next outcome is the last: only then does it matter to more than its own loop."""
        return self.open == 1 and self.next >= self.count

    def grown(self, items: list[Value] | Ref, count: int) -> None:
        """A probe found `count` more iterations."""
        self.batches += (Batch(start=self.count, count=count, left=count, items=items),)
        self.count += count

    def batch(self, index: int) -> Batch | None:
        """The batch that brought an iteration, while any of it has not ended."""
        return next((b for b in self.batches if b.holds(index)), None)

    def queued(self, index: int) -> int | None:
        """As which attempt an iteration is to run again, if it is."""
        return next((attempt for each, attempt in self.again if each == index), None)

    def is_barred(self, index: int) -> bool:
        """Whether an iteration was cancelled before it began."""
        return bool(self.barred >> index & 1)

    def unbroken(self, upto: int) -> int:
        """Where the iterations from `next` on that begin in their turn end: at `upto`, or before one that is barred."""
        ahead = self.barred >> self.next
        return min(upto, self.next + (ahead & -ahead).bit_length() - 1) if ahead else upto

    def move_on(self) -> None:
        """Those that are barred are never next."""
        while self.is_barred(self.next):
            self.next += 1

    def close(self) -> None:
        """There will be no more iterations than are known now."""
        self.total = self.count

    def write(self, index: int, found: Mapping[str, Value]) -> None:
        """What a parallel iteration wrote: of each name the last index counts, so nothing else is kept."""
        for name, value in found.items():
            if name not in self.writes or self.writes[name][0] <= index:
                self.writes[name] = index, value

    @property
    def written(self) -> dict[str, Value]:
        """What parallel iterations wrote, in index order."""
        late = sorted(self.writes.items(), key=lambda each: each[1][0])
        return {name: value for name, (_, value) in late}

    def keep(self, index: int, result: Value) -> Iterator[int]:
        """Record one iteration's result; yields the number of a chunk that is now full."""
        self.ended += 1
        self.results[index] = result
        self.result_bytes += json_size(result)
        if self.grows:
            self.leave_batch(index)
            self.last = result
        if self.grows or self.chunked:
            chunk = index // CHUNK
            self.filled[chunk] = self.filled.get(chunk, 0) + 1
            if self.filled[chunk] == (self._chunk_length(chunk) if self.chunked else CHUNK):
                yield chunk

    def chunk(self, number: int) -> tuple[Value, ...]:
        """A full chunk's results, in index order."""
        return tuple(self.results[i] for i in self._indices(number))

    def found(self, findings: Value) -> None:
        """Take over what a contract found. A loop only counts: each iteration's findings stand in its own event."""
        if findings is not None and self.loop:
            before = self.findings or {}
            findings = {name: before.get(name, 0) + findings[name] for name in ("rows", "violations")}
        self.findings = self.findings if findings is None else findings

    def drop(self, number: int) -> None:
        """Forget a chunk that is on its way to the cache."""
        for index in self._indices(number):
            del self.results[index]
        self.filled.pop(number, None)
        self.stored += 1

    def _indices(self, number: int) -> range:
        return range(number * CHUNK, number * CHUNK + self._chunk_length(number))

    def _chunk_length(self, chunk: int) -> int:
        return CHUNK if self.total is None else min(CHUNK, self.total - chunk * CHUNK)

    def leave_batch(self, index: int) -> None:
        """One iteration of its batch has ended; a batch of which none is left is forgotten."""
        less = (replace(b, left=b.left - 1) if b.holds(index) else b for b in self.batches)
        self.batches = tuple(b for b in less if b.left)

    def unstored(self) -> Iterator[int]:
        """The chunks of a complete loop that were not stored as they filled up."""
        return (chunk for chunk in range(-(-self.count // CHUNK)) if chunk * CHUNK in self.results)

    def stats(self) -> dict[str, int]:
        failed = self.failed.bit_count()
        return {"total": self.count, "success": self.ended - failed, "failed": failed}

    def result(self, execution: int, step: str) -> Value:
        """The step's result as readers see it: a reference, named after them, if it does not fit an event.

        A large loop that failed has none: not all that it would name was kept.
        """
        if not self.loop:
            return self.results.get(0)
        if self.spilt and self.error is not None:
            return None
        if self.spilt:
            return self._reference(loop_name(execution, step, self.epoch))
        results = [self.results.get(i) for i in range(self.count)]
        return {"results": results, "data": results, **self._summary()}

    @property
    def spilt(self) -> bool:
        return self.loop and (self.chunked or self.result_bytes > INLINE_BYTES)

    def _reference(self, name: str) -> Ref:
        summary = self._summary()
        parts = {**summary, **{f"stats.{k}": v for k, v in summary["stats"].items()}}
        return Ref(
            uri=name,
            bytes=self.result_bytes,
            sha256="",
            format="chunks",
            rows=self.count,
            parts=parts,
            elsewhere=self.elsewhere,
        )

    def _summary(self) -> dict[str, Value]:
        stats = self.stats()
        return {"stats": stats, "count": stats["total"], "status": "partial" if stats["failed"] else "ok"}


def loop_name(execution: int, step: str, epoch: int) -> str:
    """Where a loop's chunks live in the cache: `<name>/<chunk>`. Derived, so that a rebuild writes the same."""
    return f"loops/{execution}/{quote(step, safe='')}/{epoch}"


def single_name(execution: int, step: str, epoch: int, index: int, attempt: int) -> str:
    """Where the result of an iteration that ran again stands if its chunk was stored before."""
    return f"{loop_name(execution, step, epoch)}/again/{index}.{attempt}"


def spill(execution: int, step: str, run: Run, chunk: int) -> StoreChunk:
    """A full chunk for the cache."""
    return StoreChunk(name=f"{loop_name(execution, step, run.epoch)}/{chunk}", results=run.chunk(chunk))


def is_iteration(index: int) -> bool:
    """Whether a block does a step's work, rather than find out how it begins, grows or ends."""
    return index >= 0


@dataclass(frozen=True, slots=True)
class Token:
    """A token waiting to enter a step, and the step that sent it."""

    via: str | None
    args: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What stays of a step's latest epoch. `seq` orders it among the execution's entries and ends."""

    epoch: int
    status: Literal["done", "failed", "skipped"]
    seq: int
    tries: int
    iterations: int
    entered_at: float
    ended_at: float
    error: Error | None
    http: Value
    duration_ms: float
    via: str | None
    findings: Value = None

    @classmethod
    def of(cls, run: Run, event: StepFinished, *, seq: int, at: float) -> Finished:
        return cls(
            epoch=run.epoch,
            status=event.status,
            seq=seq,
            tries=run.tries,
            iterations=run.count,
            entered_at=run.entered_at,
            ended_at=at,
            error=event.error,
            http=run.http,
            duration_ms=run.duration_ms,
            via=run.via,
            findings=run.findings,
        )
