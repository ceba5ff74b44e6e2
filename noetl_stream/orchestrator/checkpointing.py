"""Rounds of checkpoints: every changed machine at one offset, then the marker that makes them count."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from noetl_stream.core.machine import Machine
from noetl_stream.core.snapshot import dump, shape
from noetl_stream.orchestrator.owner import Owner
from noetl_stream.orchestrator.saved import Key
from noetl_stream.wire.records import Checkpoint, PartitionMarker

RECORDS = 10_000
"""Records folded between two rounds: they bound what a restore reads."""


class Checkpoints(Protocol):
    """Keyed by (machine or partition, fence), so that an owner who lost the partition overwrites nothing newer.

    They bound a restore; nothing else rests on them.
    """

    async def write(self, partition: int, checkpoint: Checkpoint) -> int:
        """Returns the place where it stands, for `read_one`."""
        ...

    async def read_one(self, partition: int, place: int) -> Checkpoint: ...
    async def mark(self, marker: PartitionMarker) -> None:
        """Written last: it makes the round count."""
        ...

    async def forget(self, partition: int, machine: int, fence: int) -> None:
        """Nothing will begin from this any more: it may be compacted away. The machine of a marker is 0."""
        ...

    async def read(self, partition: int) -> Iterable[Checkpoint | PartitionMarker]:
        """The newest of every key, in any order."""
        ...


Stamp: TypeAlias = tuple[int, int]


def stamp(machine: Machine) -> Stamp:
    """What differs after every accepted record. A decision moves `decided` to its `after`, which may lie before a round."""
    return machine.latest, machine.decided


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One offset's state, ready to be written: what changed since it was saved, and what has ended since."""

    marker: PartitionMarker
    changed: Mapping[int, tuple[Stamp, bytes]]
    gone: Iterable[int]


class Rounds:
    """The checkpoints of one partition under one fence. The first round writes all that is open: from then on nothing
    rests on the keys of `former` fences.
    """

    def __init__(self, partition: int, owner: Owner, store: Checkpoints, former: Iterable[Key] = ()) -> None:
        self._partition, self._owner, self._store = partition, owner, store
        self._former = deque(former)
        self._folded_to = owner.position
        self._saved: dict[int, Stamp] = {}
        self._places: dict[int, int] = {}
        self._idle: tuple[int, ...] = ()
        self._running = False

    def due(self) -> bool:
        """Whether a round should begin. Only called when all that follows from what was folded was sent."""
        return self._behind >= RECORDS and not self._running

    def overdue(self) -> bool:
        """Whether folding should pause until everything is sent, since no moment for a round came by itself."""
        return self._behind >= 2 * RECORDS and not self._running

    @property
    def _behind(self) -> int:
        return self._owner.position - self._folded_to

    def run(self) -> Coroutine[Any, Any, None]:
        """Begin a round. The state is copied now, so that all of it stands at one offset with nothing unsent; await what
        is returned to write it."""
        self._running = True
        return self._write(self._copied())

    def _copied(self) -> _Round:
        owner, folded_to = self._owner, self._owner.position - 1
        machines = owner.state.machines
        open_ones: dict[int, Any] = dict.fromkeys([*machines, *owner.asleep])
        return _Round(
            marker=PartitionMarker(
                partition=self._partition,
                folded_to=folded_to,
                fence=owner.fence,
                body=dump(replace(owner.state, machines=open_ones)),
                shape=shape(),
            ),
            changed={m: (stamp(e), dump(e)) for m, e in machines.items() if stamp(e) != self._saved.get(m)},
            gone=[m for m in self._saved if m not in open_ones],
        )

    async def _write(self, round: _Round) -> None:
        marker = round.marker
        try:
            for machine, (stamped, body) in round.changed.items():
                checkpoint = Checkpoint(
                    machine=machine,
                    offset=marker.folded_to,
                    fence=marker.fence,
                    body=body,
                    shape=marker.shape,
                )
                self._places[machine] = await self._store.write(self._partition, checkpoint)
                self._saved[machine] = stamped
            await self._store.mark(marker)
            for machine in round.gone:
                await self._store.forget(self._partition, machine, marker.fence)
                del self._saved[machine], self._places[machine]
            await self._forget_former()
            self._folded_to = marker.folded_to
            self._idle = tuple(m for m in self._saved if m not in round.changed)
        finally:
            self._running = False

    async def _forget_former(self) -> None:
        """In their order: a marker goes before the checkpoints that it names."""
        while self._former:
            await self._store.forget(self._partition, *self._former[0])
            self._former.popleft()

    def idle(self) -> Mapping[int, int]:
        """Executions that nothing concerned for a whole round, each with the place of its checkpoint."""
        machines = self._owner.state.machines
        unchanged = (m for m in self._idle if m in machines and stamp(machines[m]) == self._saved.get(m))
        return {machine: self._places[machine] for machine in unchanged}
