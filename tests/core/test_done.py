"""The set of ended executions: exact for the window, then gone."""

from __future__ import annotations

import pytest

from noetl_stream.core.done import HOUR, WINDOW, DoneSet, Ended, tail_of


def test_an_entry_is_found_in_every_hour_of_the_window_and_forgotten_after_it() -> None:
    done = DoneSet()
    done.add(5, Ended(10, 99), at=HOUR * 100)

    for hour in range(WINDOW // HOUR + 1):
        done.add(1_000 + hour, Ended(hour, 0), at=HOUR * (100 + hour))
        assert done.find(5) == Ended(10, 99)
    done.add(7, Ended(0, 0), at=HOUR * 125)

    assert done.find(5) is None


def test_ids_never_added_are_not_found() -> None:
    done = DoneSet()
    for execution in (2, 4, 6):
        done.add(execution, Ended(execution, 2**64 - 1), at=HOUR)
    done.add(8, Ended(8, 0), at=2 * HOUR)

    assert [done.find(execution) for execution in (1, 3, 5, 7, 9)] == [None] * 5
    assert done.find(6) == Ended(6, 2**64 - 1)
    assert len(done) == 4


def test_a_clock_that_runs_back_adds_to_the_current_hour() -> None:
    done = DoneSet()
    done.add(1, Ended(1, 0), at=5 * HOUR)
    done.add(2, Ended(2, 0), at=3 * HOUR)

    assert (done.hour, set(done.recent)) == (5, {1, 2})


def test_an_hour_without_ends_leaves_nothing() -> None:
    done = DoneSet()
    done.add(1, Ended(1, 0), at=5 * HOUR)
    done.add(2, Ended(2, 0), at=6 * HOUR)
    done.add(3, Ended(3, 0), at=9 * HOUR)

    assert sorted(done.earlier) == [5, 6]


@pytest.mark.parametrize("identity", ["0" * 16 + "f" * 16, "f" * 32])
def test_the_tail_is_the_identitys_lower_half(identity: str) -> None:
    assert tail_of(identity) == 2**64 - 1
