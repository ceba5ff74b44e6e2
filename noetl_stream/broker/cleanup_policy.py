"""What a topic's settings ask of the cleaner, under the meanings that Kafka gives them."""

from __future__ import annotations

from collections.abc import Callable

from noetl_stream.commitlog.compaction_plan import CompactionRules
from noetl_stream.commitlog.retention import Retention

Setting = Callable[[str], str]
"""A topic's value of a setting, its own or the default."""


def is_compacted(setting: Setting) -> bool:
    return "compact" in _policies(setting)


def deletes_old_records(setting: Setting) -> bool:
    """Whether records go by their age, or on request."""
    return "delete" in _policies(setting)


def retention(setting: Setting) -> Retention | None:
    """How long and how much to keep, or None where compaction alone removes records."""
    if not deletes_old_records(setting):
        return None
    return Retention(max_ms=int(setting("retention.ms")), max_bytes=int(setting("retention.bytes")))


def compaction_rules(setting: Setting) -> CompactionRules | None:
    """How to compact, or None for a topic that is not compacted."""
    if not is_compacted(setting):
        return None
    return CompactionRules(
        min_dirty_ratio=float(setting("min.cleanable.dirty.ratio")),
        min_lag_ms=int(setting("min.compaction.lag.ms")),
        max_lag_ms=int(setting("max.compaction.lag.ms")),
        delete_retention_ms=int(setting("delete.retention.ms")),
        segment_bytes=int(setting("segment.bytes")),
    )


def longest_segment_ms(setting: Setting) -> int:
    """After how long a segment is closed, so that compaction can keep to its longest lag."""
    lag = int(setting("max.compaction.lag.ms")) if is_compacted(setting) else None
    segment_ms = int(setting("segment.ms"))
    return segment_ms if lag is None else min(segment_ms, lag)


def _policies(setting: Setting) -> list[str]:
    return setting("cleanup.policy").replace(" ", "").split(",")
