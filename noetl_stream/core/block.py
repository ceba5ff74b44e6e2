"""A block's life. Everything that affects it stands in one table, `ARROWS`; what has no arrow did not happen.

offered → claimed → completed | failed | parked …; a failed block waits out its backoff and is offered again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, assert_never, get_args

from noetl_stream.core.events import (
    BlockCancelRequested,
    BlockClaimed,
    BlockCompleted,
    BlockContested,
    BlockFact,
    BlockFailed,
    BlockLost,
    BlockOffered,
    BlockParked,
    BlockRetryRequested,
    BlockWish,
    Callback,
    CallbackReceived,
    Child,
    ChildEnded,
    ChildRequested,
    Sleep,
    Wait,
)
from noetl_stream.core.values import Value

OFFER_TIMEOUT = 600.0
"""Seconds after which an offer without claim or outcome is sent again: below the block topics' retention."""

BlockStatus: TypeAlias = Literal[
    "new",
    "offered",
    "claimed",
    "contested",  # two runs wanted an effect that may happen once; the first has until a deadline
    "waiting",  # for its backoff
    "parked",  # until a moment
    "calling",  # wants a child execution
    "started",  # its child runs
    "asking",  # until somebody outside answers
    "ready",  # what it waited for is here
    "completed",
    "failed",
]

IN_FLIGHT: tuple[BlockStatus, ...] = tuple(
    status for status in get_args(BlockStatus) if status not in ("new", "completed", "failed")
)

RUNNING: tuple[BlockStatus, ...] = ("offered", "claimed", "contested")
"""An answer may come before the park that asks for it: it is kept."""

ARROWS: frozenset[tuple[BlockStatus, str, BlockStatus]] = frozenset(
    {
        ("new", "BlockOffered", "offered"),
        ("offered", "BlockOffered", "offered"),
        ("offered", "BlockClaimed", "claimed"),
        ("offered", "BlockCompleted", "completed"),
        ("offered", "BlockFailed", "failed"),
        ("offered", "BlockFailed", "waiting"),
        ("offered", "BlockParked", "parked"),
        ("offered", "BlockParked", "calling"),
        ("claimed", "BlockOffered", "offered"),
        ("claimed", "BlockClaimed", "claimed"),
        ("claimed", "BlockCompleted", "completed"),
        ("claimed", "BlockFailed", "failed"),
        ("claimed", "BlockFailed", "waiting"),
        ("claimed", "BlockParked", "parked"),
        ("claimed", "BlockParked", "calling"),
        ("offered", "BlockContested", "contested"),
        ("claimed", "BlockContested", "contested"),
        ("contested", "BlockClaimed", "contested"),
        ("contested", "BlockCompleted", "completed"),
        ("contested", "BlockFailed", "failed"),
        ("contested", "BlockFailed", "waiting"),
        ("contested", "BlockParked", "parked"),
        ("contested", "BlockParked", "calling"),
        ("contested", "BlockLost", "failed"),
        *((status, "CallbackReceived", status) for status in RUNNING),
        *((status, "BlockParked", "asking") for status in RUNNING),
        *((status, "BlockParked", "ready") for status in RUNNING),
        ("asking", "CallbackReceived", "ready"),
        ("asking", "BlockOffered", "offered"),
        ("waiting", "BlockOffered", "offered"),
        ("parked", "BlockOffered", "offered"),
        ("calling", "ChildRequested", "started"),
        ("started", "ChildEnded", "ready"),
        ("started", "BlockOffered", "offered"),
        ("ready", "BlockOffered", "offered"),
        ("new", "BlockCancelRequested", "failed"),
        *((status, "BlockCancelRequested", "failed") for status in IN_FLIGHT),
        *((status, "BlockRetryRequested", "ready") for status in IN_FLIGHT),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block in flight. `due` is when its timer fires; `wait` and `resume` are what the worker left behind.

    `contest` tells of the effect that two of its runs wanted. `early` is an answer that came before its park.
    """

    status: BlockStatus = "new"
    attempt: int = 0
    segment: int = 0
    due: float | None = None
    wait: Wait | None = None
    resume: Value = None
    answer: Value = None
    answered: bool = False
    tries: int = 0
    contest: BlockContested | None = None
    early: CallbackReceived | None = None


BlockMove: TypeAlias = BlockOffered | BlockLost | ChildRequested


def move(block: Block, event: BlockFact | BlockWish | BlockMove, at: float) -> Block | None:
    """The block after `event`, or None where the table has no arrow: an event from another life of this block."""
    if not _same_life(block, event) or _leased(block, event, at):
        return None
    after = _after(block, event, at)
    return after if (block.status, type(event).__name__, after.status) in ARROWS else None


def _same_life(block: Block, event: BlockFact | BlockWish | BlockMove) -> bool:
    """Facts are fenced on attempt and segment; an answer is to the segment that parked, which is then one behind. Wishes know
    attempts only: one to cancel names the attempt that is, one to retry the attempt that is to be.

    A claim counts only if its lease outlasts the claim, or the offer, that stands.
    """
    if isinstance(event, BlockCancelRequested):
        return event.attempt == block.attempt
    if isinstance(event, BlockRetryRequested):
        return event.attempt > block.attempt
    if isinstance(event, CallbackReceived) and block.early is not None:
        return False
    segment = block.segment - 1 if _is_behind(block, event) else block.segment
    if (event.attempt, event.segment) != (block.attempt, segment):
        return False
    if isinstance(event, BlockClaimed) and block.due is not None:
        return event.renew_by > _held_until(block)
    return True


def _is_behind(block: Block, event: BlockFact | BlockMove) -> bool:
    if isinstance(event, CallbackReceived):
        return block.status == "asking"
    return isinstance(event, ChildEnded | ChildRequested)


def _held_until(block: Block) -> float:
    """The end of the lease that stands, or else the moment of the offer."""
    due = block.due or 0.0
    return due - OFFER_TIMEOUT if block.status == "offered" else due


def _leased(block: Block, event: BlockFact | BlockWish | BlockMove, at: float) -> bool:
    """A claim renewed behind the back of an owner who was about to offer its block again, or to give it up: the run
    keeps it."""
    taken = isinstance(event, BlockOffered | BlockLost) and block.status in ("claimed", "contested")
    return taken and (block.due or 0.0) > at


def _after(block: Block, event: BlockFact | BlockWish | BlockMove, at: float) -> Block:
    match event:
        case BlockOffered():
            return _offered(block, at)
        case BlockClaimed():
            status: BlockStatus = "contested" if block.status == "contested" else "claimed"
            return replace(block, status=status, due=event.renew_by)
        case BlockContested():
            due = max(event.deadline, _held_until(block))
            return replace(block, status="contested", due=due, contest=event)
        case BlockLost():
            return replace(block, status="failed", due=None)
        case BlockCompleted():
            return replace(block, status="completed", due=None, tries=block.tries + event.tries)
        case BlockFailed():
            return _failed(block, event)
        case BlockParked():
            return _parked(block, event)
        case ChildRequested():
            return replace(block, status="started")
        case ChildEnded():
            return replace(block, status="ready", due=None, answer=_answer(event), answered=True)
        case CallbackReceived():
            return _answered(block, event) if block.status == "asking" else replace(block, early=event)
        case BlockCancelRequested():
            return replace(block, status="failed", due=None)
        case BlockRetryRequested():
            return Block(status="ready", attempt=event.attempt, tries=block.tries)
        case _:
            assert_never(event)


def _offered(block: Block, at: float) -> Block:
    if block.status in ("started", "asking"):
        block = replace(block, answer={"status": "TIMED_OUT"}, answered=True)
    if block.status == "parked":
        block = replace(block, answer={"status": "WOKEN"}, answered=True)
    return replace(block, status="offered", due=at + OFFER_TIMEOUT)


def _failed(block: Block, event: BlockFailed) -> Block:
    tried = replace(block, tries=block.tries + event.tries, due=None)
    if event.retry is None:
        return replace(tried, status="failed")
    due, attempt = event.time + event.retry.after, block.attempt + 1
    again = replace(tried, status="waiting", attempt=attempt, segment=0, due=due, resume=event.retry.resume)
    return replace(again, wait=None, answer=None, answered=False, contest=None, early=None)


def _parked(block: Block, event: BlockParked) -> Block:
    match event.wait:
        case Sleep(until=until):
            status: BlockStatus = "parked"
            due: float | None = until
        case Child(timeout=timeout):
            status, due = "calling", None if timeout is None else event.time + timeout
        case Callback(until=until):
            status, due = "asking", until
        case _:
            assert_never(event.wait)
    after = replace(
        block, status=status, segment=block.segment + 1, due=due, wait=event.wait, resume=event.resume
    )
    tries = block.tries + event.tries
    parked = replace(after, answer=None, answered=False, contest=None, tries=tries, early=None)
    return parked if block.early is None or status != "asking" else _answered(parked, block.early)


def _answered(block: Block, event: CallbackReceived) -> Block:
    answer = {"status": "ANSWERED", "answer": event.answer, "actor": event.actor, "time": event.time}
    return replace(block, status="ready", due=None, answer=answer, answered=True)


def _answer(event: ChildEnded) -> Value:
    error = event.error
    return {
        "status": event.status,
        "execution_id": str(event.child),
        "result": event.result,
        "error": None if error is None else {"kind": error.kind, "message": error.message},
    }
