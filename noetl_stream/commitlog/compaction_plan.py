"""When a log is compacted, and which of its segments may be: as Kafka decides it, segment by segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from noetl_stream.commitlog.segment import Segment

NEVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionRules:
    """A topic's settings about compaction, under Kafka's meanings. Times are in milliseconds."""

    min_dirty_ratio: float = 0.5
    min_lag_ms: int = 0
    max_lag_ms: int = NEVER
    delete_retention_ms: int = 24 * 3600 * 1000
    segment_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionPlan:
    """A compaction that is due: of these segments, the first of the log first.

    Offsets before `since` were cleaned by earlier passes; `dirty_ratio` is the share of bytes that were not.
    """

    segments: tuple[Segment, ...]
    since: int
    dirty_ratio: float


def plan_compaction(
    closed: Sequence[Segment],
    rules: CompactionRules,
    *,
    since: int,
    stable_offset: int,
    horizon: int | None,
    now: int,
) -> CompactionPlan | None:
    """What to compact now, or None if it is not due.

    `stable_offset` is where the first undecided or unsynced record stands. `horizon` is the earliest time at which
    a tombstone among what is already clean may go.
    """

    def cleanable(segment: Segment) -> bool:
        settled = rules.min_lag_ms == 0 or segment.latest <= now - rules.min_lag_ms
        return segment.next_offset <= stable_offset and settled

    segments = tuple(takewhile(cleanable, closed))
    dirty = [segment for segment in segments if segment.next_offset > since]
    total = sum(segment.size for segment in segments)
    ratio = sum(segment.size for segment in dirty) / total if total else 0.0
    overdue = bool(dirty) and _lags(dirty[0], rules, now)
    tombstones_due = bool(segments) and horizon is not None and horizon <= now
    if ratio > rules.min_dirty_ratio or overdue or tombstones_due:
        return CompactionPlan(segments=segments, since=since, dirty_ratio=ratio)
    return None


def groups(segments: Sequence[Segment], max_bytes: int) -> list[tuple[Segment, ...]]:
    """Neighbours that together take no more than `max_bytes`: each group becomes one segment."""
    grouped: list[list[Segment]] = []
    for segment in segments:
        if grouped and sum(each.size for each in grouped[-1]) + segment.size <= max_bytes:
            grouped[-1].append(segment)
        else:
            grouped.append([segment])
    return [tuple(group) for group in grouped]


def _lags(segment: Segment, rules: CompactionRules, now: int) -> bool:
    """Whether its first records have waited for compaction longer than the topic allows."""
    return rules.max_lag_ms != NEVER and 0 <= segment.earliest < now - rules.max_lag_ms
