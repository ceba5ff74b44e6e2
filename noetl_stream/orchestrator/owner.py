"""The owner of one partition, without I/O: it is told what was read and what became of its appends, and says what to
append, what to send and what may be committed. The simulator and the live agent drive this same class.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import TypeAlias

from noetl_stream.core.decide import MOVES_PER_DECISION, decide
from noetl_stream.core.events import (
    BlockOffered,
    Decision,
    Event,
    ExecutionQuarantined,
    ExecutionRequested,
    PartitionTaken,
)
from noetl_stream.core.execution import Execution
from noetl_stream.core.messages import Message
from noetl_stream.core.outbox import outbox
from noetl_stream.core.partition import Folded, Partition, evolve
from noetl_stream.core.plan import Plan
from noetl_stream.errors import NoetlError
from noetl_stream.orchestrator.alarms import Alarms

Plans: TypeAlias = Callable[[ExecutionRequested], Plan]
"""The plan that a request pinned. Must be at hand for every request that was folded."""


@dataclass(slots=True, eq=False)
class Append:
    """A record that the owner wants in the log. Its bytes are fixed: of unknown fate, it is repeated as it is."""

    machine: int
    event: Decision | ExecutionQuarantined


@dataclass(slots=True, eq=False)
class Sending:
    """A message on its way. Until it is `done`, the committed offset stays at or below `offset`."""

    offset: int
    message: Message
    done: bool = False


class Owner:
    """One partition under one fence.

    `position` is the next offset to fold. At most one decision per machine is in flight; facts that arrive meanwhile
    are decided together once it was folded.
    """

    def __init__(self, *, fence: int, state: Partition, position: int, plans: Plans) -> None:
        self.fence, self.state, self.position = fence, state, position
        self.superseded = False
        self._plans = plans
        self._dirty: dict[int, None] = {}
        self._in_flight: dict[int, Append] = {}
        self._repeat: dict[int, Append] = {}
        self._alarms = Alarms()
        self._outbox: deque[Sending] = deque()
        self._fresh: list[Sending] = []
        self._wanted: dict[int, None] = {}
        self.asleep: set[int] = set()

    def fold(
        self, offset: int, machine: int, event: Event, at: float, *, unsent: bool = True
    ) -> Folded | None:
        """Take in the record at `offset`; None if it was folded before. `at` is the record's time in seconds.

        `unsent` False says that what follows from it has been sent: a restore folds so below the committed offset.
        """
        if offset < self.position:
            return None
        self.position = offset + 1
        if isinstance(event, PartitionTaken) and offset > self.fence:
            self.superseded = True
        try:
            folded = evolve(self.state, machine, event, offset)
            sent = outbox(self._plan_of(folded), folded, _moment(event, at)) if unsent else ()
        except Exception as fault:  # our own fault must cost one execution, never the partition
            self._repeat[machine] = self._quarantine(machine, fault)
            return None
        self._hold(offset, sent)
        self._note(machine, event, folded)
        return folded

    def _plan_of(self, folded: Folded) -> Plan | None:
        """Only an offer needs the plan: an execution whose plan is the fault can still be answered."""
        offers = any(isinstance(move, BlockOffered) for move in folded.moves)
        return self._plans(folded.machine.request) if folded.machine is not None and offers else None

    def _hold(self, offset: int, messages: tuple[Message, ...]) -> None:
        for message in messages:
            sending = Sending(offset, message)
            self._outbox.append(sending)
            self._fresh.append(sending)

    def _note(self, machine: int, event: Event, folded: Folded) -> None:
        """Who must be decided now, and whose decision has been answered by the log."""
        mine = isinstance(event, Decision | ExecutionQuarantined) and event.fence == self.fence
        if mine:
            self._answered(machine, event)
        if machine not in self.state.machines:
            self._dirty.pop(machine, None)
            self._alarms.clear(machine)
            return
        more_to_decide = not mine or folded.verdict == "stale" or len(folded.moves) >= MOVES_PER_DECISION
        if more_to_decide and (mine or folded.verdict == "accepted"):
            self._dirty[machine] = None
        self._alarms.set(machine, self.state.machines[machine].alarm)

    def _answered(self, machine: int, event: Event) -> None:
        sent = self._in_flight.get(machine)
        if sent is not None and _is(sent.event, event):
            del self._in_flight[machine]
            self._repeat.pop(machine, None)

    def decide_all(self) -> None:
        """After a restore: every open machine is decided once."""
        self._dirty = dict.fromkeys(self.state.machines)
        for machine, execution in self.state.machines.items():
            self._alarms.set(machine, execution.alarm)

    def appends(self, now: float) -> Iterator[Append]:
        """What to append now: repetitions of unknown fate, then one decision per machine that has something to do."""
        repeat, self._repeat = list(self._repeat.values()), {}
        yield from repeat
        for machine in self._alarms.ring(now):
            (self._wanted if machine in self.asleep else self._dirty)[machine] = None
        for machine in [m for m in self._dirty if m not in self._in_flight]:
            del self._dirty[machine]
            append = self._decide(machine, now)
            if append is not None:
                self._in_flight[machine] = append
                yield append

    def _decide(self, machine: int, now: float) -> Append | None:
        execution = self.state.machines[machine]
        try:
            moves = decide(self._plans(execution.request), execution, now)
        except Exception as fault:  # as in fold
            return self._quarantine(machine, fault)
        if moves:
            return Append(machine, Decision(fence=self.fence, after=self.position - 1, at=now, moves=moves))
        self._alarms.set(machine, execution.next_due())
        return None

    def _quarantine(self, machine: int, fault: Exception) -> Append:
        event = ExecutionQuarantined(fence=self.fence, reason=_reason(fault), time=self.state.log_time)
        self._in_flight[machine] = Append(machine, event)
        return self._in_flight[machine]

    def refuse(self, append: Append, fault: Exception) -> Append:
        """A decision that cannot be written down costs its execution: what to append in its stead."""
        return self._quarantine(append.machine, fault)

    def landed(self, append: Append, offset: int, at: float) -> None:
        """An append was acknowledged at `offset`. Folded at once if nothing else came between, else when read back."""
        if offset == self.position:
            self.fold(offset, append.machine, append.event, at)

    def fate_unknown(self, append: Append) -> None:
        """An append may or may not stand in the log: it is repeated unchanged unless it is read back first."""
        if self._in_flight.get(append.machine) is append:
            self._repeat[append.machine] = append

    def fresh(self) -> list[Sending]:
        """Messages not handed out before. Mark each `done` once it was delivered; send it again until then."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def sleep(self, machine: int) -> bool:
        """Let a machine leave memory; its alarm stays. Not while it is to be decided or its decision is in flight."""
        if machine not in self.state.machines or machine in self._dirty or machine in self._in_flight:
            return False
        del self.state.machines[machine]
        self.asleep.add(machine)
        return True

    def wake(self, machine: int, execution: Execution) -> None:
        """A sleeper is back, as it was; what its alarm asks for is decided next."""
        self.asleep.discard(machine)
        self.state.machines[machine] = execution
        self._dirty[machine] = None

    def wanted(self) -> list[int]:
        """Sleepers whose alarm has rung since this was last asked."""
        wanted, self._wanted = list(self._wanted), {}
        return wanted

    @property
    def committable(self) -> int:
        """The offset to commit: the fold's position, or the oldest record with a message not yet delivered."""
        while self._outbox and self._outbox[0].done:
            self._outbox.popleft()
        return min(self.position, self._outbox[0].offset) if self._outbox else self.position

    @property
    def idle(self) -> bool:
        """Everything that follows from what was folded has been sent: the moment for a checkpoint."""
        return self.committable == self.position

    @property
    def next_alarm(self) -> float | None:
        return self._alarms.next

    @property
    def busy(self) -> bool:
        """Whether `appends` has something to say now, whatever the time."""
        return bool(self._repeat) or any(m not in self._in_flight for m in self._dirty)


def _is(sent: Event, read: Event) -> bool:
    """Whether a record of this fence is the one that is in flight. Its values may read back otherwise (a NaN does)."""
    if isinstance(sent, Decision) and isinstance(read, Decision):
        return sent.after == read.after
    return type(sent) is type(read)


def _moment(event: Event, at: float) -> float:
    return event.at if isinstance(event, Decision) else at


def _reason(fault: Exception) -> str:
    """Our own sentences are safe to keep for ever; another exception's text may quote a value, so only its place is."""
    if isinstance(fault, NoetlError):
        return str(fault)
    frames = extract_tb(fault.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(fault).__name__}{place}; report this with the execution's events"
