"""The compacted checkpoint topic, and what a restore makes of it (architecture: checkpoints, restore)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from noetl_stream.core.events import Event
from noetl_stream.core.partition import Partition, pass_over
from noetl_stream.core.snapshot import load
from noetl_stream.orchestrator.saved import MARKER, Saved
from noetl_stream.wire.records import Checkpoint, PartitionMarker


class Await:
    """What a port waits for here: its caller's next turn."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@dataclass(slots=True)
class Shelf:
    """Keyed by (machine or partition, fence). Each write is an await: a process may stop between any two."""

    machines: dict[tuple[int, int], Checkpoint] = field(default_factory=dict)
    markers: dict[int, PartitionMarker] = field(default_factory=dict)
    written: list[Checkpoint] = field(default_factory=list)
    changed: bool = False

    def key(self, fence: int) -> int:
        return fence

    async def write(self, partition: int, checkpoint: Checkpoint) -> int:
        await Await()
        self.machines[checkpoint.machine, self.key(checkpoint.fence)] = checkpoint
        self.written.append(checkpoint)
        self.changed = True
        return len(self.written) - 1

    async def read_one(self, partition: int, place: int) -> Checkpoint:
        await Await()
        return self.written[place]

    async def mark(self, marker: PartitionMarker) -> None:
        await Await()
        self.markers[self.key(marker.fence)] = marker
        self.changed = True

    async def forget(self, partition: int, machine: int, fence: int) -> None:
        await Await()
        if machine == MARKER:
            self.markers.pop(self.key(fence), None)
        self.machines.pop((machine, self.key(fence)), None)
        self.changed = True

    async def read(self, partition: int) -> list[Checkpoint | PartitionMarker]:
        return self.kept()

    def saved(self) -> Saved:
        return Saved.of(self.kept(), fence=0)

    def kept(self) -> list[Checkpoint | PartitionMarker]:
        return [*self.machines.values(), *self.markers.values()]


@dataclass(slots=True)
class Base:
    """What a restore begins with: the state, the first offset to fold, and how far each machine is ahead of that."""

    state: Partition = field(default_factory=Partition)
    start: int = 0
    ahead: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, saved: Saved) -> Base:
        if saved.marker is None:
            return cls()
        base = cls(load(saved.marker.body), saved.marker.folded_to + 1)
        for machine in base.state.machines:
            kept = saved.checkpoints[machine]
            base.ahead[machine], base.state.machines[machine] = kept.offset, load(kept.body)
        return base

    def skips(self, offset: int, machine: int) -> bool:
        return offset <= self.ahead.get(machine, -1)

    def skip(self, event: Event) -> None:
        pass_over(self.state, event)
