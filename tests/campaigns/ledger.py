"""An event log as an auditor reads it: every record folded from the first on, and whatever must never be, named.

It takes its verdicts from the same fold as everybody; what it adds is the count over all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from noetl_stream.core.events import (
    BlockCompleted,
    Decision,
    Event,
    ExecutionEnded,
    PartitionTaken,
)
from noetl_stream.core.partition import Folded, Partition, evolve
from noetl_stream.core.values import Value
from noetl_stream.orchestrator.restore import event_of
from noetl_stream.ports.log import Record
from noetl_stream.replay.telling import Told
from noetl_stream.wire.codec import machine_of


@dataclass(slots=True, kw_only=True)
class Ledger:
    """One partition. Feed it every record in order; an offset that it has seen is passed over."""

    state: Partition = field(default_factory=Partition)
    position: int = 0
    fences: int = 0
    outcomes: int = 0
    stale: int = 0
    fenced_off: int = 0
    """Decisions made under a fence that a newer one had ended."""
    owner: str = ""
    """Who appended the newest fence."""
    completed: Counter[tuple[int, str]] = field(default_factory=Counter)
    """How often each block's completion was accepted."""
    ended: dict[int, ExecutionEnded] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def take(self, record: Record) -> Told | None:
        """Fold one record; None if it was folded before."""
        if record.offset < self.position:
            return None
        self.position = record.offset + 1
        machine, event = machine_of(record), event_of(record)
        self.fenced_off += isinstance(event, Decision) and event.fence != self.state.fence
        folded = evolve(self.state, machine, event, record.offset)
        self._count(machine, event, folded)
        return Told(record=record, event=event, folded=folded)

    def _count(self, machine: int, event: Event, folded: Folded) -> None:
        if isinstance(event, PartitionTaken):
            self.fences, self.owner = self.fences + 1, event.owner
        self.stale += folded.verdict == "stale"
        if folded.verdict != "accepted":
            return
        self.outcomes += len(folded.counted)
        for fact in folded.counted:
            if isinstance(fact, BlockCompleted):
                self._complete(machine, str(fact.block))
        for move in folded.moves:
            if isinstance(move, ExecutionEnded):
                self._end(machine, move)

    def _complete(self, machine: int, block: str) -> None:
        self.completed[machine, block] += 1
        if self.completed[machine, block] > 1:
            self.violations.append(f"execution {machine}: {block} was accepted twice")

    def _end(self, machine: int, end: ExecutionEnded) -> None:
        if machine in self.ended:
            self.violations.append(f"execution {machine} ended twice")
        self.ended[machine] = end


def unmet(ledger: Ledger, asked: Mapping[int, Value], blocks: frozenset[str]) -> list[str]:
    """What of the executions that were asked for is missing or wrong: each must complete with its own result, by exactly
    these blocks."""
    done: dict[int, set[str]] = {execution: set() for execution in asked}
    for execution, block in ledger.completed:
        done.get(execution, set()).add(block)
    return [
        *ledger.violations,
        *(f"execution {e} was acknowledged and never ended" for e in asked if e not in ledger.ended),
        *(
            f"execution {e} ended {_told(ledger.ended[e])}"
            for e in asked
            if _wrong(ledger.ended.get(e), asked[e])
        ),
        *(
            f"execution {e} completed by {sorted(done[e])}"
            for e in asked
            if e in ledger.ended and done[e] != blocks
        ),
    ]


def _wrong(end: ExecutionEnded | None, expected: Value) -> bool:
    return end is not None and (end.status != "COMPLETED" or end.result != expected)


def _told(end: ExecutionEnded) -> str:
    return f"{end.status} with {end.result!r}, {end.error}"
