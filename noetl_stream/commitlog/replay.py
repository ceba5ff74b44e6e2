"""Reads a segment batch by batch, checking each, to learn again what its index file does not say."""

from __future__ import annotations

from collections.abc import Iterator

from noetl_stream.commitlog.batch import intact
from noetl_stream.commitlog.log_reader import StoredBatch, overtakes, walk
from noetl_stream.commitlog.producer_state import ProducerState
from noetl_stream.commitlog.segment import ActiveSegment

_WINDOW = 1 << 20


def replay(segment: ActiveSegment, state: ProducerState, position: int, *, gaps: bool = False) -> int:
    """Note every sound batch from `position` on; the position after the last one.

    With `gaps` offsets need only increase, as in a compacted segment.
    """
    for found in sound_batches(segment, position, gaps=gaps):
        segment.note(found.header, found.position)
        state.note(found.header, found.position, found.raw, segment.aborted)
        position = found.position + found.header.size
    return position


def sound_batches(segment: ActiveSegment, position: int, *, gaps: bool) -> Iterator[StoredBatch]:
    """The batches from `position` on while they are sound and continue the segment, which the caller notes."""
    for found in walk(segment, position, segment.size, window_size=_WINDOW, whole=True):
        header, expected = found.header, segment.next_offset
        leaps = header.base_offset > expected and not overtakes(segment, found.position, header)
        in_sequence = header.base_offset == expected or (gaps and leaps)
        if not (in_sequence and found.complete and intact(header, found.raw)):
            return
        yield found
