"""The frame of every keyed machine in a partition: executions today; limits, schedules and subscriptions alike.

A machine folds facts, tries moves on a draft of itself, and says when a timer of its own is due. What it is about is its
own affair; staleness, fences and identity are the partition's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, TypeAlias

from noetl_stream.core.events import (
    BlockFact,
    BlockOffered,
    BlocksReported,
    BlockWish,
    CancelRequested,
    ChildRequested,
    Decision,
    Move,
)
from noetl_stream.core.messages import Message, StoreChunk

Verdict: TypeAlias = Literal["accepted", "duplicate", "stale", "rejected"]
MachineFact: TypeAlias = BlockFact | BlocksReported | BlockWish | CancelRequested


class Taken(NamedTuple):
    """What became of a fact, what is to be sent because of it, and what of it counted about blocks."""

    verdict: Verdict
    messages: tuple[Message, ...] = ()
    counted: tuple[BlockFact, ...] = ()


@dataclass(slots=True, kw_only=True)
class Machine(ABC):
    """Bookkeeping that every machine keeps, in offsets of its partition.

    `latest` is the last accepted fact, `touched` the last one that may change what is decided next, `halted` the last
    one that stops even hot decisions (a cancel, a retry), `decided` the `after` of the last accepted decision. `alarm` is the
    earliest moment at which a timer may be due: never too late, perhaps too early.
    """

    id: int
    latest: int = -1
    touched: int = -1
    halted: int = -1
    decided: int = -1
    alarm: float | None = None

    @abstractmethod
    def draft(self) -> Self:
        """A copy on which moves can be tried."""

    @abstractmethod
    def fold(self, event: MachineFact, offset: int) -> Taken:
        """Take in a fact."""

    @abstractmethod
    def apply(self, move: Move, at: float) -> tuple[StoreChunk, ...]:
        """Carry out one move; raises IllegalTransition where there is no arrow."""

    @abstractmethod
    def next_due(self) -> float | None:
        """The exact moment of the earliest timer."""

    @property
    @abstractmethod
    def over(self) -> bool:
        """Whether its last event has been folded."""

    def overtaken(self, decision: Decision) -> bool:
        """Whether a fact that matters to `decision` was accepted after its maker had last looked.

        Offers in a hot loop stand unless the machine was stopped; everything else falls to any fact that could have
        changed it.
        """
        hot = all(isinstance(move, BlockOffered | ChildRequested) for move in decision.moves)
        return (self.halted if hot else self.touched) > decision.after
