"""What a restore begins from, of all that stands among a partition's checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from noetl_stream.core.snapshot import shape
from noetl_stream.wire.records import Checkpoint, PartitionMarker

Key: TypeAlias = tuple[int, int]
"""(machine, fence); the partition's marker has 0 for its machine."""
MARKER = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The furthest marker, and the furthest checkpoint of each machine, among those whose shape is ours.

    `former` are the keys under fences before this owner's, markers first: its own marker makes them superfluous.
    """

    marker: PartitionMarker | None = None
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)
    former: tuple[Key, ...] = ()

    @classmethod
    def of(cls, kept: Iterable[Checkpoint | PartitionMarker], fence: int) -> Saved:
        """What the owner under `fence` makes of the newest record of every key."""
        marker: PartitionMarker | None = None
        checkpoints: dict[int, Checkpoint] = {}
        former = list[Key]()
        for each in kept:
            if each.fence < fence:
                former.append(_key(each))
            if each.shape != shape():
                continue
            match each:
                case PartitionMarker():
                    marker = max(marker or each, each, key=lambda m: (m.folded_to, m.fence))
                case Checkpoint(machine=machine):
                    best = checkpoints.get(machine, each)
                    checkpoints[machine] = max(best, each, key=lambda c: (c.offset, c.fence))
        return cls(marker=marker, checkpoints=checkpoints, former=tuple(sorted(former)))

    def before(self, offset: int) -> Saved:
        """All of it, or nothing if any of it may contain the record at `offset`."""
        ends = [checkpoint.offset for checkpoint in self.checkpoints.values()]
        if self.marker is not None and max(self.marker.folded_to, *ends, -1) < offset:
            return self
        return Saved(former=self.former)


def _key(kept: Checkpoint | PartitionMarker) -> Key:
    return (kept.machine if isinstance(kept, Checkpoint) else MARKER), kept.fence
