"""What events are made of: names of blocks, what a block waits for, where a token or a fork begins. Read as a part of `events`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from noetl_stream.core.values import Value

ITEMS = -1
"""The iteration number of the block that finds out how a step begins where only a worker can: its admission, its
loop's bound and collection."""
ROUTE = -2
"""The iteration number of the block that evaluates a step's `set` and arcs where they read a referenced value."""
PROBES = -3
"""The iteration number of the first block that asks a growing loop for more; the k-th has `PROBES - k`."""


class BlockId(NamedTuple):
    """A unit of work inside an execution. `epoch` counts the step's entries, `iteration` its loop's items, from 0."""

    step: str
    epoch: int
    iteration: int

    def __str__(self) -> str:
        return f"{self.step}/{self.epoch}/{self.iteration}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The parked block that waits for this execution."""

    execution: int
    block: BlockId
    attempt: int
    segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialUse:
    """A credential that a run resolved, never its value: who gave it, and which `version`, where its provider counts them."""

    alias: str
    provider: str
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A failed block is to be offered again `after` seconds, going on at `resume` (the worker's own notes)."""

    after: float
    resume: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """Park until `until`."""

    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """Park until an execution of another playbook has ended (or, with wait False, has been started)."""

    path: str
    version: int | None
    input: Value
    identity: str
    wait: bool = True
    return_step: str | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """Park until whoever holds the block's token answers, or until `until`. `ask` tells who looks what is asked of whom."""

    until: float | None = None
    ask: Value = None


Wait: TypeAlias = Sleep | Child | Callback


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """What an execution goes on from: another one, as it was at the record at `offset`, to begin anew at `address`.

    `past` is that state (core.forking writes and reads it); who folded it keeps it no longer. `sets` lie over its inputs.
    """

    execution: int
    offset: int
    address: str
    sets: Mapping[str, Value] = field(default_factory=dict)
    past: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A token on its way to a step, from the one that just finished."""

    step: str
    args: Value = None
