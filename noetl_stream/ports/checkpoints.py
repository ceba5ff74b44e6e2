"""Checkpoints as the orchestrator sees them: they bound a restore, nothing else rests on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The furthest marker of a partition and the furthest checkpoint of each machine, by machine: (offset, body)."""

    folded_to: int
    body: bytes
    machines: Mapping[int, tuple[int, bytes]]


class Checkpoints(Protocol):
    """Keyed by (machine or partition, fence), so that an owner who lost the partition overwrites nothing newer."""

    async def save_machine(
        self, partition: int, machine: int, fence: int, offset: int, body: bytes
    ) -> None: ...
    async def drop_machine(self, partition: int, machine: int, fence: int) -> None:
        """The machine has ended: its checkpoint under this fence may be compacted away."""
        ...

    async def save_marker(self, partition: int, fence: int, folded_to: int, body: bytes) -> None:
        """Written last: it makes the round count."""
        ...

    async def load(self, partition: int) -> Saved | None: ...
