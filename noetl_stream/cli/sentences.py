"""What a record of the log says, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import assert_never

from noetl_stream.cli.documented import iso
from noetl_stream.core.events import (
    ITEMS,
    PROBES,
    ROUTE,
    BlockCancelRequested,
    BlockClaimed,
    BlockCompleted,
    BlockContested,
    BlockFailed,
    BlockId,
    BlockLost,
    BlockOffered,
    BlockParked,
    BlockRetryRequested,
    BlocksReported,
    Callback,
    CallbackReceived,
    CancelRequested,
    Child,
    ChildEnded,
    ChildRequested,
    CredentialUse,
    Decision,
    Event,
    ExecutionEnded,
    ExecutionQuarantined,
    ExecutionRequested,
    ExecutionStarted,
    FailureMet,
    Fork,
    LoopClosed,
    Move,
    PartitionTaken,
    RecordRejected,
    Sleep,
    StepEntered,
    StepFinished,
    Wait,
)
from noetl_stream.core.values import Error, Value


def sentence(event: Event) -> str:
    """The record as a person would say it."""
    match event:
        case ExecutionRequested():
            return f"{event.path} version {event.version} is requested{_forked(event.fork)}"
        case CancelRequested():
            return "cancelling is requested" + (f": {event.reason}" if event.reason else "")
        case BlockCancelRequested():
            why = f": {event.reason}" if event.reason else ""
            return f"cancelling {_block(event.block)} is requested{why}"
        case BlockRetryRequested():
            return f"{_block(event.block)} is to run again, as attempt {event.attempt + 1}"
        case BlockClaimed():
            return f"{_block(event.block)} is claimed until {iso(event.renew_by)}"
        case BlockContested():
            until = iso(event.deadline)
            return f"{_block(event.block)} is not run again: '{event.task}' was begun; its outcome is awaited until {until}"
        case BlockCompleted():
            done = f"{_block(event.block)} completed in {event.duration_ms:.0f} ms{_tries(event.tries)}"
            return done + _found(event.findings) + _used(event.credentials)
        case BlockFailed():
            again = f"; again in {event.retry.after:g} s" if event.retry else ""
            return f"{_block(event.block)} failed{_tries(event.tries)}: {_error(event.error)}{again}{_used(event.credentials)}"
        case BlockParked():
            return f"{_block(event.block)} waits {_wait(event.wait)}"
        case BlocksReported():
            return "; ".join(map(sentence, event.facts))
        case ChildEnded():
            return f"{_block(event.block)} hears of execution {event.child}: {event.status}"
        case CallbackReceived():
            return f"{event.actor or 'somebody'} answers {_block(event.block)}"
        case Decision():
            return "; ".join(_moves(event.moves)) or "nothing is decided"
        case PartitionTaken():
            return f"{event.owner} takes the partition"
        case RecordRejected():
            return f"the record at offset {event.offset} counts for nobody: {event.reason}"
        case ExecutionQuarantined():
            return f"the execution is set aside: {event.reason}"
        case _:
            assert_never(event)


def _forked(fork: Fork | None) -> str:
    """Where an execution that goes on from another one comes from."""
    if fork is None:
        return ""
    sets = f" with other {', '.join(map(repr, fork.sets))}" if fork.sets else ""
    return f", forked from execution {fork.execution} at '{fork.address}'{sets}"


def _moves(moves: tuple[Move, ...]) -> Iterator[str]:
    """Offers of one step are said together: a loop makes many at once."""
    for step, together in groupby(moves, lambda m: m.block.step if isinstance(m, BlockOffered) else None):
        group = list(together)
        blocks = sum(move.count for move in group if isinstance(move, BlockOffered))
        if blocks > 1:
            yield f"{blocks} blocks of '{step}' are offered"
        else:
            yield from map(_move, group)


def _move(move: Move) -> str:
    match move:
        case ExecutionStarted():
            return f"it starts at '{move.entry}'"
        case StepEntered():
            again = f" again (epoch {move.epoch})" if move.epoch else ""
            return f"step '{move.step}' is entered{again}{_loop(move)}"
        case LoopClosed():
            error = f" ({_error(move.error)})" if move.error else ""
            return f"the loop of '{move.step}' gets no more iterations{error}"
        case BlockOffered():
            attempt = f", attempt {move.attempt + 1}" if move.attempt else ""
            return f"{_block(move.block)} is offered{attempt}"
        case BlockLost():
            return f"{_block(move.block)} is given up ({_error(move.error)})"
        case ChildRequested():
            return f"the child of {_block(move.block)} is started"
        case StepFinished():
            targets = ", ".join(f"'{target.step}'" for target in move.targets)
            error = f" ({_error(move.error)})" if move.error else ""
            return f"step '{move.step}' is {move.status}{error}" + (f" → {targets}" if targets else "")
        case FailureMet():
            return f"it fails ({_error(move.error)}), and '{move.step}' runs before it ends"
        case ExecutionEnded():
            return f"the execution is {move.status}" + (f": {_error(move.error)}" if move.error else "")
        case _:
            assert_never(move)


def _loop(move: StepEntered) -> str:
    if not move.loop:
        return ""
    if move.total is None:
        return " with iterations as they come" if move.grows else " with a collection to come"
    return f" with {move.total} iterations"


def _block(block: BlockId) -> str:
    match block.iteration:
        case 0:
            return f"'{block.step}'"
        case number if number == ITEMS:
            return f"the beginning of '{block.step}'"
        case number if number == ROUTE:
            return f"the routing of '{block.step}'"
        case number if number <= PROBES:
            return f"probe {PROBES - number + 1} of '{block.step}'"
        case number:
            return f"'{block.step}'[{number}]"


def _tries(tries: int) -> str:
    return f" after {tries} tries" if tries > 1 else ""


def _found(findings: Value) -> str:
    """What a contract that let a result pass found in it."""
    if findings is None or not findings["violations"]:
        return ""
    aside = ", set aside" if findings["quarantined"] else ""
    return f"; its contract found {findings['violations']} of {findings['rows']} rows wrong{aside}"


def _used(credentials: tuple[CredentialUse, ...]) -> str:
    """Which credentials a run resolved."""
    named = [
        each.alias + ("" if each.version is None else f" version {each.version}") + f" ({each.provider})"
        for each in credentials
    ]
    return f"; it used {', '.join(named)}" if named else ""


def _error(error: Error) -> str:
    place = f" (step '{error.step}')" if error.step else ""
    return f"{error.kind}: {error.message}{place}"


def _wait(wait: Wait) -> str:
    match wait:
        case Sleep():
            return f"until {iso(wait.until)}"
        case Child():
            return f"for playbook {wait.path}"
        case Callback():
            return "for an answer" + (f" until {iso(wait.until)}" if wait.until is not None else "")
        case _:
            assert_never(wait)
