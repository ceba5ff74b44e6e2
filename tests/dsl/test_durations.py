"""Lengths of time as authors write them."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.dsl.durations import seconds


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (5, 5.0),
        ("90", 90.0),
        ("90s", 90.0),
        ("250ms", 0.25),
        ("15m", 900.0),
        ("2h", 7200.0),
        ("1h30m", 5400.0),
        ("1 h 30 m", 5400.0),
        ("1d", 86400.0),
        ("2w", 1_209_600.0),
        ("7y", 7 * 31_536_000.0),
        ("m", None),
        ("5 parsecs", None),
        (-1, None),
        (None, None),
        (True, None),
    ],
)
def test_a_duration_is_seconds_or_text_with_units(given: Any, found: float | None) -> None:
    assert seconds(given) == found
