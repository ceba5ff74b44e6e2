"""When compaction is due, and of what."""

from __future__ import annotations

from pathlib import Path

import pytest

from noetl_stream.commitlog.compaction_plan import CompactionPlan, CompactionRules, groups, plan_compaction
from noetl_stream.commitlog.segment import Segment
from tests.commitlog.samples import BASE_TIME

NOW = BASE_TIME + 1_000_000


def _segment(number: int, *, size: int = 100, latest: int = BASE_TIME) -> Segment:
    """Its records were written over a hundred milliseconds."""
    return Segment(
        path=Path("x.log"),
        base_offset=10 * number,
        next_offset=10 * number + 10,
        size=size,
        earliest=latest - 100,
        latest=latest,
    )


SEGMENTS = [_segment(number) for number in range(4)]


def _plan(
    rules: CompactionRules,
    *,
    since: int = 0,
    stable: int = 40,
    horizon: int | None = None,
    segments: list[Segment] = SEGMENTS,
) -> CompactionPlan | None:
    return plan_compaction(segments, rules, since=since, stable_offset=stable, horizon=horizon, now=NOW)


def _offsets(plan: CompactionPlan | None) -> tuple[int, int] | None:
    return None if plan is None else (plan.segments[0].base_offset, plan.segments[-1].next_offset)


@pytest.mark.parametrize(("since", "due"), [(0, True), (10, True), (20, False), (40, False)])
def test_a_log_is_compacted_when_more_than_its_share_is_dirty(since: int, due: bool) -> None:
    assert (_plan(CompactionRules(min_dirty_ratio=0.5), since=since) is not None) is due


def test_a_ratio_of_zero_compacts_whatever_is_new() -> None:
    rules = CompactionRules(min_dirty_ratio=0)

    assert _offsets(_plan(rules, since=39)) == (0, 40)
    assert _plan(rules, since=40) is None


def test_nothing_above_the_last_stable_offset_is_touched() -> None:
    assert _offsets(_plan(CompactionRules(), stable=25)) == (0, 20)
    assert _plan(CompactionRules(), stable=5) is None


def test_records_are_left_alone_until_their_lag_is_over() -> None:
    segments = [_segment(0), _segment(1, latest=NOW - 100), _segment(2)]

    assert _offsets(_plan(CompactionRules(min_lag_ms=101), segments=segments)) == (0, 10)
    assert _offsets(_plan(CompactionRules(min_lag_ms=100), segments=segments)) == (0, 30)


def test_the_longest_lag_compacts_what_the_ratio_would_leave() -> None:
    segments = [_segment(0), _segment(1, latest=NOW - 100)]
    lag = 200

    assert _plan(CompactionRules(max_lag_ms=lag), since=10, segments=segments) is None
    assert _offsets(_plan(CompactionRules(max_lag_ms=lag - 1), since=10, segments=segments)) == (0, 20)


def test_a_tombstone_whose_time_is_over_is_reason_enough() -> None:
    assert _plan(CompactionRules(), since=40, horizon=NOW + 1) is None
    assert _offsets(_plan(CompactionRules(), since=40, horizon=NOW)) == (0, 40)


def test_small_neighbours_become_one_segment() -> None:
    segments = [_segment(0, size=60), _segment(1, size=30), _segment(2, size=20), _segment(3, size=500)]

    assert [len(group) for group in groups(segments, 100)] == [2, 1, 1]
