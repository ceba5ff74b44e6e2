"""What wakes a block that has parked: the end of a child, or the answer of somebody outside. Read as a part of `events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from noetl_stream.core.parts import BlockId
from noetl_stream.core.values import Error, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded:
    """The execution a parked block waits for has ended, could not start, or (wait False) has been started."""

    block: BlockId
    attempt: int
    segment: int
    child: int
    status: Literal["COMPLETED", "FAILED", "CANCELLED", "STARTED"]
    time: float
    result: Value = None
    error: Error | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackReceived:
    """Somebody outside answered a block, perhaps before it had parked. `seal` proves that they held its token."""

    block: BlockId
    attempt: int
    segment: int
    seal: str
    time: float
    answer: Value = None
    actor: str | None = None
