"""The fold of one partition: which records count. Every reader, live or replaying, takes its verdict from here.

A fence orders owners, `after` orders a machine's decisions, identity tells a repetition from a stranger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile

from noetl_stream.core.done import WINDOW, DoneSet, Ended, tail_of
from noetl_stream.core.events import (
    BlockFact,
    CancelRequested,
    Decision,
    Event,
    ExecutionEnded,
    ExecutionQuarantined,
    ExecutionRequested,
    Move,
    PartitionTaken,
    RecordRejected,
)
from noetl_stream.core.execution import Execution, request
from noetl_stream.core.forking import Unfoldable, forked
from noetl_stream.core.machine import Machine, MachineFact, Verdict
from noetl_stream.core.messages import Message, ReplyAgain, StoreChunk
from noetl_stream.core.values import Error
from noetl_stream.errors import IllegalTransition


@dataclass(slots=True)
class Partition:
    """Everything folded so far. `log_time` is the newest time at which an owner decided, in seconds."""

    fence: int = -1
    log_time: float = 0.0
    machines: dict[int, Execution] = field(default_factory=dict)
    done: DoneSet = field(default_factory=DoneSet)
    precancelled: dict[int, CancelRequested] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What a record did: its verdict, the machine it concerns (also one that just ended), and what must be sent.

    `counted` are the facts about blocks that were accepted: of a report, perhaps not all.
    """

    verdict: Verdict
    machine: Execution | None = None
    moves: tuple[Move, ...] = ()
    messages: tuple[Message, ...] = ()
    counted: tuple[BlockFact, ...] = ()
    again: ReplyAgain | None = None


_HEX = frozenset("0123456789abcdef")

_NEVER = 253_402_300_800.0
"""The end of the year 9999, in seconds since the epoch."""

STALE = Folded(verdict="stale")


def evolve(partition: Partition, machine: int, event: Event, offset: int) -> Folded:
    """Fold one record, in place. Total: whatever the log holds gets a verdict.

    Raises IllegalTransition only for a decision that its own maker could never have made: a fault of the program.
    """
    match event:
        case PartitionTaken():
            partition.fence = offset
            return Folded(verdict="accepted")
        case Decision():
            _tick(partition, event)
            return _decision(partition, machine, event, offset)
        case ExecutionRequested():
            return _request(partition, machine, event, offset)
        case RecordRejected():
            counts = event.offset < offset and not fenced(partition, event.fence)
            return Folded(verdict="accepted") if counts else STALE
        case ExecutionQuarantined():
            return _quarantine(partition, machine, event, offset)
        case _:
            return _fact(partition, machine, event, offset)


def pass_over(partition: Partition, event: Event) -> None:
    """A record that its machine's checkpoint contains already: only its time is news to the partition."""
    if isinstance(event, Decision):
        _tick(partition, event)


def _tick(partition: Partition, decision: Decision) -> None:
    """Log time is the owners' alone: whoever else writes cannot close the window in which repetitions are known.

    It never runs back; a moment that no clock shows moves nothing.
    """
    if partition.log_time < decision.at < _NEVER and not fenced(partition, decision.fence):
        partition.log_time = decision.at


def fenced(partition: Partition, fence: int) -> bool:
    """Whether a record was written under another fence than the newest."""
    return fence != partition.fence


def repeated(machine: Machine, decision: Decision) -> bool:
    """Whether this decision, or one made after it, was accepted before."""
    return decision.after <= machine.decided


def _request(partition: Partition, machine: int, event: ExecutionRequested, offset: int) -> Folded:
    known, ended = partition.machines.get(machine), partition.done.find(machine)
    if not _is_identity(machine, event.identity):
        return Folded(verdict="rejected")
    if known is None and ended is None:
        try:
            born = request(machine, event, offset) if event.fork is None else forked(machine, event, offset)
        except Unfoldable:
            return Folded(verdict="rejected")
        partition.machines[machine] = born
        early = partition.precancelled.pop(machine, None)
        if early is not None:
            born.fold(early, offset)
        return Folded(verdict="accepted", machine=born)
    same = (
        known.request.identity == event.identity
        if known
        else ended is not None and ended.tail == tail_of(event.identity)
    )
    if not same:
        return Folded(verdict="rejected")
    return Folded(verdict="duplicate", machine=known, again=_again(machine, event, ended))


def _is_identity(machine: int, identity: str) -> bool:
    """Whether a done-set could keep these: a positive 63-bit id, and a hash of 128 bits in hex."""
    return 0 < machine < 2**63 and len(identity) == 32 and set(identity) <= _HEX


def _again(machine: int, event: ExecutionRequested, ended: Ended | None) -> ReplyAgain | None:
    if ended is None or event.reply_to is None:
        return None
    return ReplyAgain(
        execution=machine,
        offset=ended.offset,
        reply_to=event.reply_to,
        path=event.path,
        version=event.version,
        correlation=event.correlation,
    )


def _fact(partition: Partition, machine: int, event: MachineFact, offset: int) -> Folded:
    known = partition.machines.get(machine)
    if known is not None:
        taken = known.fold(event, offset)
        return Folded(verdict=taken.verdict, machine=known, messages=taken.messages, counted=taken.counted)
    if isinstance(event, CancelRequested) and partition.done.find(machine) is None:
        return Folded(verdict=_precancel(partition, machine, event))
    return STALE


def _precancel(partition: Partition, machine: int, event: CancelRequested) -> Verdict:
    """A cancel that overtook its request waits for it, as long as a repeated request would be recognised."""
    if machine in partition.precancelled:
        return "duplicate"
    oldest = partition.log_time - WINDOW
    for gone in list(takewhile(lambda m: partition.precancelled[m].time < oldest, partition.precancelled)):
        del partition.precancelled[gone]
    partition.precancelled[machine] = event
    return "accepted"


def _decision(partition: Partition, machine: int, event: Decision, offset: int) -> Folded:
    known = partition.machines.get(machine)
    if known is None or fenced(partition, event.fence):
        return STALE
    if repeated(known, event):
        return Folded(verdict="duplicate", machine=known)
    if known.overtaken(event):
        return Folded(verdict="stale", machine=known)
    after = known.draft()
    try:
        chunks = _carry_out(after, event)
    except IllegalTransition:
        if known.latest > event.after:
            return Folded(verdict="stale", machine=known)
        raise
    _settle(partition, after, offset)
    return Folded(verdict="accepted", machine=after, moves=event.moves, messages=chunks)


def _carry_out(machine: Execution, event: Decision) -> tuple[StoreChunk, ...]:
    chunks = tuple(chunk for move in event.moves for chunk in machine.apply(move, event.at))
    machine.decided = event.after
    if machine.alarm is not None and machine.alarm <= event.at:
        machine.alarm = machine.next_due()
    return chunks


def _settle(partition: Partition, machine: Execution, offset: int) -> None:
    """Keep what lives; remember what ended."""
    if not machine.over:
        partition.machines[machine.id] = machine
        return
    partition.machines.pop(machine.id, None)
    partition.done.add(machine.id, Ended(offset, tail_of(machine.request.identity)), partition.log_time)


def _quarantine(partition: Partition, machine: int, event: ExecutionQuarantined, offset: int) -> Folded:
    known = partition.machines.get(machine)
    if known is None or fenced(partition, event.fence):
        return STALE
    end = ExecutionEnded(status="FAILED", error=Error(kind="quarantined", message=event.reason))
    known.status, known.ended = "ended", end
    _settle(partition, known, offset)
    return Folded(verdict="accepted", machine=known, moves=(end,))
