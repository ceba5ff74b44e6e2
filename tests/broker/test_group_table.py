"""No arrow of a group's table is only paper, and nothing moves without one."""

from __future__ import annotations

import dataclasses

import pytest

from noetl_stream.broker.group import ARROWS, Event, Group, GroupState
from noetl_stream.broker.member import Joined
from noetl_stream.commitlog.refusal import Refused
from tests.broker.samples import JOIN


def _silent(outcome: Joined | bytes | Refused) -> None:
    """Nobody listens in these lives."""


def _live(group: Group) -> None:
    """Two members come, one after the other; one restarts; both go."""
    group.join(JOIN, 0.0, _silent)
    group.expire(0.1)
    group.sync(group.current("m", None, 1, 0.2), {}, 0.2, _silent)
    group.join(dataclasses.replace(JOIN, new_member_id="n"), 1.0, _silent)
    group.join(dataclasses.replace(JOIN, member_id="m"), 1.1, _silent)
    group.leave("n", None, 1.2)
    group.join(dataclasses.replace(JOIN, member_id="m"), 1.3, _silent)
    group.leave("m", None, 1.4)
    group.forget()


def test_every_arrow_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[tuple[GroupState, Event]] = set()
    move = Group._move

    def watched(group: Group, event: Event) -> None:
        taken.add((group.state, event))
        move(group, event)

    monkeypatch.setattr(Group, "_move", watched)
    _live(Group(initial_delay=0.1, max_size=10))

    assert taken == set(ARROWS)


def test_a_move_without_an_arrow_is_a_fault() -> None:
    with pytest.raises(KeyError):
        Group(initial_delay=0.1, max_size=10)._move("assigned")
