"""Opening a partition's log after a stop of any kind: read and check what no checkpoint covers, cut a torn tail,
refuse anything else.

A write that was under way when the process or the machine died leaves an unfinished batch at the very end; it was
never acknowledged and is cut off. Damage before a sound batch cannot come from that, so it is never repaired by
dropping what follows: start-up stops, naming the place.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from noetl_stream.commitlog.append_file import AppendFile
from noetl_stream.commitlog.damage import NEXT_STEP, sound_batch_after
from noetl_stream.commitlog.index_file import (
    Checkpoint,
    index_path,
    read_aborted,
    read_checkpoint,
    read_head,
    read_state,
    write_checkpoint,
)
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.producer_state import ProducerState
from noetl_stream.commitlog.replay import replay
from noetl_stream.commitlog.segment import (
    ActiveSegment,
    Segment,
    SegmentLimits,
    base_offset_of,
    log_path,
    log_paths,
    remove_files,
)
from noetl_stream.commitlog.segment_swap import settle_swaps
from noetl_stream.commitlog.segmented_log import SegmentedLog
from noetl_stream.commitlog.storage import Storage
from noetl_stream.errors import InfrastructureError

logger = logging.getLogger(__name__)


def open_partition(
    directory: Path,
    storage: Storage,
    *,
    limits: SegmentLimits | None = None,
    compacted: bool = False,
    start_offset: int = 0,
    synced_position: int = 0,
) -> Partition:
    """The partition kept in `directory`; an empty one if there is no segment yet.

    Where it is `compacted`, gaps between offsets are no damage.
    `synced_position` is the byte up to which its first segment is known to have been durable, from another source
    than the segment's index.

    Raises:
        InfrastructureError: a batch is damaged that was durable, or that a sound one follows; segments do not join.
    """
    settle_swaps(directory)
    _remove_unreadable(directory, start_offset)
    logs = log_paths(directory) or [log_path(directory, start_offset)]
    recovery = _Recovery(logs=logs, compacted=compacted, synced_position=synced_position)
    active = recovery.run()
    log = SegmentedLog(recovery.closed, active, storage, limits or SegmentLimits())
    return Partition(log, recovery.state, storage, max(start_offset, log.start_offset))


def _remove_unreadable(directory: Path, start_offset: int) -> None:
    """Deleting segments, or their indexes, was cut short."""
    logs = log_paths(directory)
    remove_files(log for log, behind in pairwise(logs) if base_offset_of(behind) <= start_offset)
    for index in directory.glob("*.index"):
        if not index.with_suffix(".log").exists():
            index.unlink()


@dataclass(slots=True, kw_only=True)
class _Recovery:
    """Trusts the leading segments whose index is complete; resumes from the checkpoint behind them; reads the rest."""

    logs: list[Path]
    compacted: bool
    synced_position: int
    closed: list[Segment] = field(default_factory=list)
    state: ProducerState = field(default_factory=ProducerState)

    def run(self) -> ActiveSegment:
        """Fill `closed` and `state`; the segment that goes on growing."""
        for log, behind in pairwise(self.logs):
            segment = _complete(log, base_offset_of(behind))
            if segment is None:
                break
            self.closed.append(segment)
        known = self._resume()
        for at in range(len(self.closed), len(self.logs) - 1):
            self._read_closed(at, known)
            known = None
        return self._read(len(self.logs) - 1, known, gaps=False)

    def _resume(self) -> Checkpoint | None:
        """Find the last state of the producers, and a checkpoint of the first segment to be read if it has one."""
        while True:
            known = read_checkpoint(index_path(self.logs[len(self.closed)]))
            if known is not None:
                self.state = ProducerState.loaded(known.state)
                return known
            if not self.closed:
                return None
            state = read_state(index_path(self.closed[-1].path))
            if state is not None:
                self.state = ProducerState.loaded(state)
                return None
            self.closed.pop()

    def _read_closed(self, at: int, known: Checkpoint | None) -> None:
        next_offset = base_offset_of(self.logs[at + 1])
        gaps = self.compacted or _complete(self.logs[at], next_offset) is not None
        segment = self._read(at, known, gaps=gaps)
        segment.file.close()
        self._require_joined(segment, at + 1, gaps=gaps)
        self.closed.append(segment.closed(next_offset))
        _note(segment, self.state, next_offset)

    def _read(self, at: int, known: Checkpoint | None, *, gaps: bool) -> ActiveSegment:
        """Read and check one segment from its checkpoint on, and make it as durable as it is going to be shown."""
        segment = ActiveSegment(AppendFile(self.logs[at]), base_offset_of(self.logs[at]))
        position = 0
        if known is not None and known.position <= segment.size:
            segment.restore(known)
            position = known.position
        sound = replay(segment, self.state, position, gaps=gaps)
        self._require_durable(segment, sound, at)
        if sound < segment.size:
            self._cut_torn_tail(segment, sound, at)
        if segment.size > position:
            segment.file.sync()
            _note(segment, self.state, segment.next_offset)
        return segment

    def _require_durable(self, segment: ActiveSegment, sound: int, at: int) -> None:
        head = read_head(index_path(segment.path))
        durable = head.position if head is not None else self.synced_position if at == 0 else 0
        if sound < durable:
            raise InfrastructureError(
                f"{segment.path} is damaged at byte {sound} (offset {segment.next_offset}), though it was durable up "
                f"to byte {durable}; {NEXT_STEP}"
            )

    def _cut_torn_tail(self, segment: ActiveSegment, sound: int, at: int) -> None:
        follower = sound_batch_after(segment.file, sound + 1, segment.next_offset)
        place = f"at byte {follower}" if follower is not None else self._survivor(at + 1, segment.next_offset)
        if place is not None:
            raise InfrastructureError(
                f"{segment.path} is damaged at byte {sound} (offset {segment.next_offset}), and a sound batch "
                f"follows {place}; {NEXT_STEP}"
            )
        torn = segment.size - sound
        logger.warning("%s: cut an unfinished write of %d bytes at byte %d", segment.path, torn, sound)
        segment.file.truncate(sound)

    def _require_joined(self, segment: ActiveSegment, behind: int, *, gaps: bool) -> None:
        """A power loss may keep the empty file of a next segment and lose what was never acknowledged before it."""
        begins = base_offset_of(self.logs[behind])
        gap = begins > segment.next_offset and not gaps
        if begins < segment.next_offset or (gap and self._survivor(behind, begins) is not None):
            raise InfrastructureError(
                f"{segment.path} ends at offset {segment.next_offset} and {self.logs[behind].name} begins at "
                f"{begins}; {NEXT_STEP}"
            )

    def _survivor(self, at: int, offset: int) -> str | None:
        """Where a sound batch stands in the segments from `at` on, in words."""
        for log in self.logs[at:]:
            file = AppendFile(log)
            position = sound_batch_after(file, 0, offset)
            file.close()
            if position is not None:
                return f"at byte {position} of {log.name}"
        return None


def _complete(log: Path, next_offset: int) -> Segment | None:
    """The closed segment at `log`, if its index covers all of it."""
    head, size = read_head(index_path(log)), log.stat().st_size
    if head is None or (head.base_offset, head.position, head.next_offset) != (
        base_offset_of(log),
        size,
        next_offset,
    ):
        return None
    aborted = read_aborted(index_path(log), head)
    if aborted is None:
        return None
    return Segment(
        path=log,
        base_offset=head.base_offset,
        next_offset=next_offset,
        size=size,
        earliest=head.earliest,
        latest=head.latest,
        aborted=aborted,
    )


def _note(segment: ActiveSegment, state: ProducerState, next_offset: int) -> None:
    """Write its index, so that the next start need not read it again. A full disk is no reason not to start."""
    known = replace(segment.checkpoint(state.dump()), next_offset=next_offset)
    try:
        write_checkpoint(index_path(segment.path), known)
    except OSError as error:
        logger.warning("%s could not be written: %s", index_path(segment.path), error)
