"""Retention by whole segments: what has served its time goes, what a log may hold stays."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from noetl_stream.commitlog.retention import FOR_EVER, Retention
from noetl_stream.commitlog.segment import Segment

NOW = 1_700_000_000_000


def _segments(*sizes_and_ages: tuple[int, int]) -> list[Segment]:
    """Ten offsets each; ages in milliseconds."""
    return [
        Segment(
            path=Path(f"{10 * number}.log"),
            base_offset=10 * number,
            next_offset=10 * number + 10,
            size=size,
            earliest=NOW - age - 10,
            latest=NOW - age,
        )
        for number, (size, age) in enumerate(sizes_and_ages)
    ]


def test_segments_whose_latest_record_is_too_old_go() -> None:
    segments = _segments((100, 5000), (100, 1001), (100, 1000))

    assert Retention(max_ms=1000).first_kept(segments, 300, NOW) == 20


def test_a_young_segment_keeps_the_old_ones_behind_it() -> None:
    """Producers' clocks differ; a log has no holes."""
    segments = _segments((100, 5000), (100, 10), (100, 5000))

    assert Retention(max_ms=1000).first_kept(segments, 300, NOW) == 10


def test_a_log_keeps_at_least_the_bytes_it_may_hold() -> None:
    segments = _segments((100, 0), (100, 0), (100, 0))

    kept_from = [Retention(max_bytes=most).first_kept(segments, 350, NOW) for most in (350, 251, 250, 0)]

    assert kept_from == [None, None, 10, 30]


def test_either_reason_is_enough() -> None:
    segments = _segments((100, 5000), (100, 10), (100, 10))

    assert Retention(max_ms=1000, max_bytes=150).first_kept(segments, 300, NOW) == 10
    assert Retention(max_ms=1000, max_bytes=100).first_kept(segments, 300, NOW) == 20


def test_nothing_goes_from_a_log_that_is_kept_for_ever() -> None:
    assert (
        Retention(max_ms=FOR_EVER, max_bytes=FOR_EVER).first_kept(_segments((10**9, 10**12)), 10**9, NOW)
        is None
    )


def test_a_segment_that_compaction_has_emptied_keeps_none_behind_it() -> None:
    emptied, old, young = _segments((0, 0), (100, 5000), (100, 10))
    emptied = replace(emptied, earliest=-1, latest=-1)

    assert Retention(max_ms=1000).first_kept([emptied, old, young], 200, NOW) == 20


def test_records_without_a_time_count_from_when_they_were_written(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(b"x")
    segment = Segment(path=log, base_offset=0, next_offset=10, size=1, earliest=-1, latest=-1)
    retention = Retention(max_ms=1000)

    os.utime(log, (NOW / 1000 - 0.5, NOW / 1000 - 0.5))
    assert retention.first_kept([segment], 1, NOW) is None
    os.utime(log, (NOW / 1000 - 2, NOW / 1000 - 2))
    assert retention.first_kept([segment], 1, NOW) == 10
