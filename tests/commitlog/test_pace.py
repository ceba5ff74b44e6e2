"""How work in the background keeps out of the way: it rests as long as it has worked, and never for its idle time."""

from __future__ import annotations

import threading

import pytest

from noetl_stream.commitlog.pace import Pace, Stopped


def test_work_that_begins_after_hours_of_idleness_begins_at_once() -> None:
    """The hours are no turn of work to rest from."""
    moments = iter((0.0, 7_200.0, 7_200.0))
    pace = Pace(clock=lambda: next(moments))
    rested = threading.Thread(target=pace.breathe, daemon=True)

    rested.start()
    rested.join(timeout=10)

    assert not rested.is_alive()


def test_work_that_is_stopped_ends_at_its_next_breath() -> None:
    pace = Pace()
    pace.stop()

    with pytest.raises(Stopped):
        pace.breathe()
