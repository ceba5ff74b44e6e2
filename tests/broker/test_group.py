"""The group state machine, with time as an argument: no test here waits."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.group import Group, GroupState, MemberIdRequired
from noetl_stream.broker.member import Joined, JoinRequest
from noetl_stream.commitlog.refusal import Refused

_SESSION, _REBALANCE, _INITIAL = 10.0, 30.0, 0.1
_REQUEST = JoinRequest(
    member_id="",
    instance_id=None,
    client_id="c",
    client_host="127.0.0.1",
    session_timeout=_SESSION,
    rebalance_timeout=_REBALANCE,
    protocol_type="consumer",
    protocols={"range": b"topics"},
    must_know_its_id=False,
    may_skip_assignment=False,
)


def _request(member_id: str = "", instance_id: str | None = None, **changes: object) -> JoinRequest:
    return dataclasses.replace(_REQUEST, member_id=member_id, instance_id=instance_id, **changes)  # type: ignore[arg-type]


def _ids(group: Group) -> set[str]:
    return {member.member_id for member in group.members}


def _joined(waiting: asyncio.Future[Joined | Refused]) -> Joined:
    outcome = waiting.result()
    assert isinstance(outcome, Joined), outcome
    return outcome


def _refused(waiting: asyncio.Future[bytes | Refused] | asyncio.Future[Joined | Refused]) -> ErrorCode:
    outcome = waiting.result()
    assert isinstance(outcome, Refused), outcome
    return outcome.code


def _stable(*requests: JoinRequest) -> tuple[Group, list[str]]:
    """A stable group at time 1 and its member ids, the leader first."""
    group = Group(initial_delay=_INITIAL)
    waiting = [group.join(request, 0.0) for request in requests or (_request(),)]
    group.expire(_INITIAL)
    ids = [_joined(joined).member_id for joined in waiting]
    for member_id in reversed(ids):
        group.sync(member_id, None, group.generation, {each: each.encode() for each in ids}, 1.0)
    assert group.state is GroupState.STABLE
    return group, ids


def _code(act: object, *arguments: object) -> ErrorCode:
    assert callable(act)
    with pytest.raises(Refused) as refused:
        act(*arguments)
    return refused.value.code


async def test_the_first_members_of_a_group_share_its_first_generation() -> None:
    """A short delay lets the members that start together come together."""
    group = Group(initial_delay=_INITIAL)
    first, second = group.join(_request(), 0.0), group.join(_request(), 0.05)
    assert not first.done()
    assert group.deadline == _INITIAL

    group.expire(_INITIAL)

    leader, follower = _joined(first), _joined(second)
    assert leader.generation == follower.generation == 1
    assert leader.leader == follower.leader == leader.member_id
    assert set(leader.metadata) == {leader.member_id, follower.member_id}
    assert follower.metadata == {}


async def test_every_member_gets_what_the_leader_assigned() -> None:
    group = Group(initial_delay=_INITIAL)
    first, second = group.join(_request(), 0.0), group.join(_request(), 0.0)
    group.expire(_INITIAL)
    leader, follower = _joined(first).member_id, _joined(second).member_id

    waiting = group.sync(follower, None, 1, {}, 0.2)
    assert not waiting.done()
    own = group.sync(leader, None, 1, {leader: b"L", follower: b"F"}, 0.3)

    assert (own.result(), waiting.result()) == (b"L", b"F")
    assert group.state is GroupState.STABLE
    assert group.sync(follower, None, 1, {}, 0.4).result() == b"F"


async def test_a_newcomer_makes_everyone_join_again() -> None:
    group, (old,) = _stable()

    newcomer = group.join(_request(), 2.0)
    assert _code(group.heartbeat, old, None, 1, 2.1) is ErrorCode.rebalance_in_progress
    again = group.join(_request(old), 2.2)

    assert _joined(newcomer).generation == _joined(again).generation == 2
    assert _joined(again).leader == old


async def test_a_member_that_does_not_come_back_is_dropped_when_the_rebalance_times_out() -> None:
    group, (old, silent) = _stable(_request(), _request())
    newcomer, again = group.join(_request(), 2.0), group.join(_request(old), 2.0)
    for now in (8.0, 16.0, 24.0, 31.0):  # its session lives on
        assert _code(group.heartbeat, silent, None, 1, now) is ErrorCode.rebalance_in_progress
        group.expire(now)
        assert not newcomer.done()

    group.expire(2.0 + _REBALANCE)

    assert _ids(group) == {old, _joined(newcomer).member_id}
    assert _joined(again).generation == 2


async def test_a_dead_member_is_evicted_when_its_session_ends() -> None:
    group, (living, dead) = _stable(_request(), _request())
    group.heartbeat(living, None, 1, 5.0)
    assert group.deadline == 1.0 + _SESSION

    group.expire(1.0 + _SESSION)

    assert _ids(group) == {living}
    assert _code(group.heartbeat, living, None, 1, 11.0) is ErrorCode.rebalance_in_progress
    assert _joined(group.join(_request(living), 11.1)).generation == 2
    assert _code(group.heartbeat, dead, None, 1, 11.2) is ErrorCode.unknown_member_id


async def test_heartbeats_move_the_end_of_a_session() -> None:
    group, (member,) = _stable()

    group.heartbeat(member, None, 1, 8.0)
    group.expire(1.0 + _SESSION)

    assert _ids(group) == {member}
    assert group.deadline == 8.0 + _SESSION


async def test_waiting_in_a_join_counts_as_alive() -> None:
    group, (slow, patient) = _stable(_request(), _request())
    joining = group.join(_request(patient, protocols={"range": b"other"}), 2.0)
    with pytest.raises(Refused):
        group.heartbeat(slow, None, 1, 20.0)

    group.expire(20.0)  # long after the patient one's last word

    assert _ids(group) == {slow, patient}
    assert not joining.done()


async def test_a_member_that_never_syncs_is_dropped() -> None:
    group = Group(initial_delay=_INITIAL)
    first, second = group.join(_request(), 0.0), group.join(_request(), 0.0)
    group.expire(_INITIAL)
    leader, follower = _joined(first).member_id, _joined(second).member_id
    syncing = group.sync(follower, None, 1, {}, 0.2)

    group.expire(_INITIAL + _SESSION)  # the leader said nothing any more

    assert _ids(group) == {follower}
    assert _refused(syncing) is ErrorCode.rebalance_in_progress
    assert _code(group.sync, leader, None, 1, {}, 11.0) is ErrorCode.unknown_member_id


async def test_leaving_rebalances_at_once() -> None:
    group, (stays, goes) = _stable(_request(), _request())

    group.leave(goes, None, 2.0)
    again = group.join(_request(stays), 2.1)

    assert _joined(again).generation == 2


async def test_the_last_to_leave_empties_the_group() -> None:
    group, (member,) = _stable()

    group.leave(member, None, 2.0)

    assert group.state is GroupState.EMPTY
    assert group.deadline is None


async def test_a_new_dynamic_member_is_first_given_its_id() -> None:
    group = Group(initial_delay=_INITIAL)
    with pytest.raises(MemberIdRequired) as required:
        group.join(_request(must_know_its_id=True), 0.0)

    waiting = group.join(_request(required.value.member_id, must_know_its_id=True), 0.1)
    group.expire(0.2)

    assert _joined(waiting).member_id == required.value.member_id


async def test_an_id_that_is_never_used_expires() -> None:
    """It holds the rebalance back until then, as it may be about to be used."""
    group, (member,) = _stable()
    with pytest.raises(MemberIdRequired) as required:
        group.join(_request(must_know_its_id=True), 1.0)
    group.heartbeat(member, None, 1, 9.0)

    again = group.join(_request(member, protocols={"range": b"other"}), 10.0)
    assert not again.done()
    group.expire(1.0 + _SESSION)

    assert _joined(again).generation == 2
    assert _code(group.join, _request(required.value.member_id), 12.0) is ErrorCode.unknown_member_id


async def test_a_restarted_static_member_takes_its_place_without_a_rebalance() -> None:
    group, (leader, follower) = _stable(_request(instance_id="a"), _request(instance_id="b"))

    back = _joined(group.join(_request(instance_id="b"), 2.0))

    assert group.state is GroupState.STABLE
    assert (back.generation, back.leader) == (1, leader)
    assert group.sync(back.member_id, "b", 1, {}, 2.1).result() == follower.encode()
    assert _code(group.heartbeat, follower, "b", 1, 2.2) is ErrorCode.fenced_instance_id


async def test_a_restarted_static_leader_is_not_asked_to_assign_again() -> None:
    group, (leader,) = _stable(_request(instance_id="a"))

    old_client = _joined(group.join(_request(instance_id="a"), 2.0))
    new_client = _joined(group.join(_request(instance_id="a", may_skip_assignment=True), 3.0))

    assert (old_client.leader, dict(old_client.metadata)) == (leader, {})
    assert (new_client.leader, new_client.skip_assignment) == (new_client.member_id, True)


async def test_a_static_member_that_wants_other_topics_causes_a_rebalance() -> None:
    group, (leader, _) = _stable(_request(instance_id="a"), _request(instance_id="b"))

    back = group.join(_request(instance_id="b", protocols={"range": b"other"}), 2.0)
    assert not back.done()
    group.join(_request(leader, "a"), 2.1)

    assert _joined(back).generation == 2


async def test_an_administrator_removes_a_static_member_by_its_instance() -> None:
    group, (leader, _) = _stable(_request(instance_id="a"), _request(instance_id="b"))

    group.leave("", "b", 2.0)

    assert _ids(group) == {leader}


async def test_members_without_a_common_protocol_cannot_share_a_group() -> None:
    group, _ = _stable()

    foreign = _request(protocols={"sticky": b""})
    assert _code(group.join, foreign, 2.0) is ErrorCode.inconsistent_group_protocol
    other_type = _request(protocol_type="connect")
    assert _code(group.join, other_type, 2.0) is ErrorCode.inconsistent_group_protocol


async def test_the_protocol_most_wanted_by_members_is_chosen() -> None:
    group = Group(initial_delay=_INITIAL)
    both = {"range": b"r", "sticky": b"s"}
    reverse = {"sticky": b"s", "range": b"r"}
    waiting = [group.join(_request(protocols=wanted), 0.0) for wanted in (both, reverse, reverse)]

    group.expire(_INITIAL)

    assert {_joined(each).protocol for each in waiting} == {"sticky"}


async def test_commits_are_taken_from_current_members_alone() -> None:
    group, (member,) = _stable()

    group.check_commit(member, None, 1, 2.0)
    assert _code(group.check_commit, member, None, 0, 2.0) is ErrorCode.illegal_generation
    assert _code(group.check_commit, "stranger", None, 1, 2.0) is ErrorCode.unknown_member_id
    assert _code(group.check_commit, "", None, -1, 2.0) is ErrorCode.unknown_member_id


async def test_a_client_without_a_group_commits_to_an_empty_one() -> None:
    Group(initial_delay=_INITIAL).check_commit("", None, -1, 0.0)


async def test_a_member_may_still_commit_before_it_joins_again() -> None:
    group, (member,) = _stable()
    group.join(_request(), 2.0)

    group.check_commit(member, None, 1, 2.1)
    again = group.join(_request(member), 2.2)

    assert _joined(again).generation == 2
    assert _code(group.check_commit, member, None, 2, 2.3) is ErrorCode.rebalance_in_progress


async def test_static_members_that_all_stay_away_are_waited_for_again() -> None:
    """They live, so they keep their places; whoever comes back is not left waiting for the others for ever."""
    group, (first, second) = _stable(_request(instance_id="a"), _request(instance_id="b"))
    group.join(_request(), 2.0)
    (newcomer,) = _ids(group) - {first, second}
    group.leave(newcomer, None, 3.0)
    _keep_alive(group, (first, second), until=2 + int(_REBALANCE))
    assert group.state is GroupState.PREPARING

    again = group.join(_request(first, "a"), 33.0)
    _keep_alive(group, (second,), since=33, until=2 + 2 * int(_REBALANCE))

    assert _joined(again).generation == 2
    assert _ids(group) == {first, second}


def _keep_alive(group: Group, members: tuple[str, ...], *, since: int = 3, until: int) -> None:
    """Each member's heartbeats, every second, and the passing of time."""
    for now in range(since, until + 1):
        for member in members:
            with contextlib.suppress(Refused):
                group.heartbeat(member, None, group.generation, float(now))
        group.expire(float(now))
