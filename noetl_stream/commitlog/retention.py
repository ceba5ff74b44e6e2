"""Retention: which segments at a log's beginning have served their time, or are more than it may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noetl_stream.commitlog.segment import Segment

FOR_EVER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long and how much: milliseconds after a segment's latest record, bytes of the whole log; -1 for ever."""

    max_ms: int = FOR_EVER
    max_bytes: int = FOR_EVER

    def first_kept(self, closed: Sequence[Segment], size: int, now: int) -> int | None:
        """The offset at which the log is to begin, or None if every segment stays.

        `closed` are its segments but for the one that grows, `size` its bytes with that one, `now` milliseconds.
        """
        gone, left = None, size
        for segment in closed:
            excessive = self.max_bytes != FOR_EVER and left - segment.size >= self.max_bytes
            if not (excessive or self.expired(segment, now)):
                break
            gone, left = segment.next_offset, left - segment.size
        return gone

    def expired(self, segment: Segment, now: int) -> bool:
        """Whether its latest record is too old; one whose records have no time counts from its last write.

        One that compaction has emptied must not keep the segments behind it.
        """
        if self.max_ms == FOR_EVER:
            return False
        if segment.size == 0:
            return True
        latest = segment.latest if segment.latest >= 0 else int(segment.path.stat().st_mtime * 1000)
        return now - latest > self.max_ms
