"""Alarms ring once, never late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noetl_stream.orchestrator.alarms import Alarms


def test_an_alarm_rings_once_when_it_is_due() -> None:
    alarms = Alarms()
    alarms.set(7, 5.0)

    assert list(alarms.ring(4.9)) == []
    assert alarms.next == 5.0
    assert list(alarms.ring(5.0)) == [7]
    assert list(alarms.ring(9.0)) == []
    assert alarms.next is None


def test_the_earliest_of_several_alarms_of_a_machine_is_the_one_that_rings() -> None:
    alarms = Alarms()
    alarms.set(7, 5.0)
    alarms.set(7, 3.0)
    alarms.set(7, 9.0)

    assert list(alarms.ring(10.0)) == [7]


def test_a_machine_that_ended_is_not_rung() -> None:
    alarms = Alarms()
    alarms.set(7, 5.0)
    alarms.clear(7)
    alarms.clear(8)

    assert list(alarms.ring(10.0)) == []


def test_a_machine_without_a_timer_sets_none() -> None:
    alarms = Alarms()
    alarms.set(7, None)

    assert alarms.next is None


def test_an_alarm_may_be_set_anew_after_it_rang() -> None:
    alarms = Alarms()
    alarms.set(7, 5.0)
    assert list(alarms.ring(5.0)) == [7]

    alarms.set(7, 6.0)

    assert list(alarms.ring(6.0)) == [7]


def test_alarms_that_move_forward_again_and_again_do_not_pile_up() -> None:
    alarms = Alarms()
    for at in range(10_000, 0, -1):
        alarms.set(7, float(at))

    assert len(alarms._heap) < 100
    assert list(alarms.ring(20_000.0)) == [7]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 100) | st.none())), st.floats(0, 120))
def test_whoever_has_an_alarm_that_is_due_is_rung(
    given_alarms: list[tuple[int, float | None]], now: float
) -> None:
    alarms, earliest = Alarms(), dict[int, float]()
    for machine, at in given_alarms:
        alarms.set(machine, at)
        if at is not None:
            earliest[machine] = min(at, earliest.get(machine, at))

    assert sorted(alarms.ring(now)) == sorted(machine for machine, at in earliest.items() if at <= now)
