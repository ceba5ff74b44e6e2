"""The group state machine, with time as an argument: no test here waits."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from typing import Generic, TypeVar

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.group import Group, GroupState, MemberIdRequired
from noetl_stream.broker.member import NEW_MEMBER_WAITS, Joined, JoinRequest
from noetl_stream.commitlog.refusal import Refused
from tests.broker.samples import JOIN

_SESSION, _REBALANCE, _INITIAL = JOIN.session_timeout, JOIN.rebalance_timeout, 0.1
_NAMES = (f"member-{number}" for number in itertools.count(1))
_Outcome = TypeVar("_Outcome")


class _Answer(Generic[_Outcome]):
    """What a client is told, once it is."""

    def __init__(self) -> None:
        self._outcomes: list[_Outcome | Refused] = []

    def __call__(self, outcome: _Outcome | Refused) -> None:
        self._outcomes.append(outcome)

    def done(self) -> bool:
        return bool(self._outcomes)

    def result(self) -> _Outcome | Refused:
        [outcome] = self._outcomes
        return outcome


def _request(member_id: str = "", instance_id: str | None = None, **changes: object) -> JoinRequest:
    names = {"member_id": member_id, "new_member_id": next(_NAMES), "instance_id": instance_id}
    return dataclasses.replace(JOIN, **names, **changes)  # type: ignore[arg-type]


def _group(*, max_size: int = 100) -> Group:
    return Group(initial_delay=_INITIAL, max_size=max_size)


def _join(group: Group, request: JoinRequest, now: float) -> _Answer[Joined]:
    answer = _Answer[Joined]()
    group.join(request, now, answer)
    return answer


def _sync(
    group: Group,
    member_id: str,
    instance_id: str | None,
    generation: int,
    assignments: dict[str, bytes],
    now: float,
) -> _Answer[bytes]:
    answer = _Answer[bytes]()
    group.sync(group.current(member_id, instance_id, generation, now), assignments, now, answer)
    return answer


def _heartbeat(group: Group, member_id: str, instance_id: str | None, generation: int, now: float) -> None:
    group.current(member_id, instance_id, generation, now)
    group.heartbeat()


def _check_commit(
    group: Group, member_id: str, instance_id: str | None, generation: int, now: float, **options: bool
) -> None:
    group.check_commit(member_id, instance_id, generation, now, **{"in_transaction": False, **options})


def _let_gather(group: Group) -> None:
    """The time for which a new group waits for more members passes, twice at most."""
    group.expire(_INITIAL)
    group.expire(2 * _INITIAL)


def _ids(group: Group) -> set[str]:
    return {member.member_id for member in group.members}


def _joined(answer: _Answer[Joined]) -> Joined:
    outcome = answer.result()
    assert isinstance(outcome, Joined), outcome
    return outcome


def _refused(answer: _Answer[bytes] | _Answer[Joined]) -> ErrorCode:
    outcome = answer.result()
    assert isinstance(outcome, Refused), outcome
    return outcome.code


def _stable(*requests: JoinRequest, max_size: int = 100) -> tuple[Group, list[str]]:
    """A stable group at time 1 and its member ids, the leader first."""
    group = _group(max_size=max_size)
    waiting = [_join(group, request, 0.0) for request in requests or (_request(),)]
    _let_gather(group)
    ids = [_joined(joined).member_id for joined in waiting]
    for member_id in reversed(ids):
        _sync(group, member_id, None, group.generation, {each: each.encode() for each in ids}, 1.0)
    assert group.state is GroupState.STABLE
    return group, ids


def _code(act: object, *arguments: object) -> ErrorCode:
    assert callable(act)
    with pytest.raises(Refused) as refused:
        act(*arguments)
    return refused.value.code


def test_the_first_members_of_a_group_share_its_first_generation() -> None:
    """A short delay lets the members that start together come together."""
    group = _group()
    first, second = _join(group, _request(), 0.0), _join(group, _request(), 0.05)
    assert not first.done()
    assert group.deadline == _INITIAL

    _let_gather(group)

    leader, follower = _joined(first), _joined(second)
    assert leader.generation == follower.generation == 1
    assert leader.leader == follower.leader == leader.member_id
    assert set(leader.metadata) == {leader.member_id, follower.member_id}
    assert follower.metadata == {}


def test_every_member_gets_what_the_leader_assigned() -> None:
    group = _group()
    first, second = _join(group, _request(), 0.0), _join(group, _request(), 0.0)
    _let_gather(group)
    leader, follower = _joined(first).member_id, _joined(second).member_id

    waiting = _sync(group, follower, None, 1, {}, 0.2)
    assert not waiting.done()
    own = _sync(group, leader, None, 1, {leader: b"L", follower: b"F"}, 0.3)

    assert (own.result(), waiting.result()) == (b"L", b"F")
    assert group.state is GroupState.STABLE
    assert _sync(group, follower, None, 1, {}, 0.4).result() == b"F"


def test_a_newcomer_makes_everyone_join_again() -> None:
    group, (old,) = _stable()

    newcomer = _join(group, _request(), 2.0)
    assert _code(_heartbeat, group, old, None, 1, 2.1) is ErrorCode.rebalance_in_progress
    again = _join(group, _request(old), 2.2)

    assert _joined(newcomer).generation == _joined(again).generation == 2
    assert _joined(again).leader == old


def test_a_member_that_does_not_come_back_is_dropped_when_the_rebalance_times_out() -> None:
    group, (old, silent) = _stable(_request(), _request())
    newcomer, again = _join(group, _request(), 2.0), _join(group, _request(old), 2.0)
    for now in (8.0, 16.0, 24.0, 31.0):  # its session lives on
        assert _code(_heartbeat, group, silent, None, 1, now) is ErrorCode.rebalance_in_progress
        group.expire(now)
        assert not newcomer.done()

    group.expire(2.0 + _REBALANCE)

    assert _ids(group) == {old, _joined(newcomer).member_id}
    assert _joined(again).generation == 2


def test_a_dead_member_is_evicted_when_its_session_ends() -> None:
    group, (living, dead) = _stable(_request(), _request())
    _heartbeat(group, living, None, 1, 5.0)
    assert group.deadline == 1.0 + _SESSION

    group.expire(1.0 + _SESSION)

    assert _ids(group) == {living}
    assert _code(_heartbeat, group, living, None, 1, 11.0) is ErrorCode.rebalance_in_progress
    assert _joined(_join(group, _request(living), 11.1)).generation == 2
    assert _code(_heartbeat, group, dead, None, 1, 11.2) is ErrorCode.unknown_member_id


def test_heartbeats_move_the_end_of_a_session() -> None:
    group, (member,) = _stable()

    _heartbeat(group, member, None, 1, 8.0)
    group.expire(1.0 + _SESSION)

    assert _ids(group) == {member}
    assert group.deadline == 8.0 + _SESSION


def test_waiting_in_a_join_counts_as_alive() -> None:
    group, (slow, patient) = _stable(_request(), _request())
    joining = _join(group, _request(patient, protocols={"range": b"other"}), 2.0)
    with pytest.raises(Refused):
        _heartbeat(group, slow, None, 1, 20.0)

    group.expire(20.0)  # long after the patient one's last word

    assert _ids(group) == {slow, patient}
    assert not joining.done()


def test_a_member_that_never_syncs_is_dropped() -> None:
    group = _group()
    first, second = _join(group, _request(), 0.0), _join(group, _request(), 0.0)
    _let_gather(group)
    leader, follower = _joined(first).member_id, _joined(second).member_id
    syncing = _sync(group, follower, None, 1, {}, 0.2)

    group.expire(2 * _INITIAL + _SESSION)  # the leader said nothing any more

    assert _ids(group) == {follower}
    assert _refused(syncing) is ErrorCode.rebalance_in_progress
    assert _code(_sync, group, leader, None, 1, {}, 11.0) is ErrorCode.unknown_member_id


def test_leaving_rebalances_at_once() -> None:
    group, (stays, goes) = _stable(_request(), _request())

    group.leave(goes, None, 2.0)
    again = _join(group, _request(stays), 2.1)

    assert _joined(again).generation == 2


def test_the_last_to_leave_empties_the_group() -> None:
    group, (member,) = _stable()

    group.leave(member, None, 2.0)

    assert group.state is GroupState.EMPTY
    assert group.deadline is None


def test_a_new_dynamic_member_is_first_given_its_id() -> None:
    group = _group()
    with pytest.raises(MemberIdRequired) as required:
        _join(group, _request(must_know_its_id=True), 0.0)

    waiting = _join(group, _request(required.value.member_id, must_know_its_id=True), 0.1)
    group.expire(0.2)

    assert _joined(waiting).member_id == required.value.member_id


def test_an_id_that_is_never_used_expires() -> None:
    """It holds the rebalance back until then, as it may be about to be used."""
    group, (member,) = _stable()
    with pytest.raises(MemberIdRequired) as required:
        _join(group, _request(must_know_its_id=True), 1.0)
    _heartbeat(group, member, None, 1, 9.0)

    again = _join(group, _request(member, protocols={"range": b"other"}), 10.0)
    assert not again.done()
    group.expire(1.0 + _SESSION)

    assert _joined(again).generation == 2
    assert _code(_join, group, _request(required.value.member_id), 12.0) is ErrorCode.unknown_member_id


def test_a_restarted_static_member_takes_its_place_without_a_rebalance() -> None:
    group, (leader, follower) = _stable(_request(instance_id="a"), _request(instance_id="b"))

    back = _joined(_join(group, _request(instance_id="b"), 2.0))

    assert group.state is GroupState.STABLE
    assert (back.generation, back.leader) == (1, leader)
    assert _sync(group, back.member_id, "b", 1, {}, 2.1).result() == follower.encode()
    assert _code(_heartbeat, group, follower, "b", 1, 2.2) is ErrorCode.fenced_instance_id


def test_a_restarted_static_leader_is_not_asked_to_assign_again() -> None:
    group, (leader,) = _stable(_request(instance_id="a"))

    old_client = _joined(_join(group, _request(instance_id="a"), 2.0))
    new_client = _joined(_join(group, _request(instance_id="a", may_skip_assignment=True), 3.0))

    assert (old_client.leader, dict(old_client.metadata)) == (leader, {})
    assert (new_client.leader, new_client.skip_assignment) == (new_client.member_id, True)


def test_a_static_member_that_changes_the_groups_choice_causes_a_rebalance() -> None:
    both = {"range": b"", "sticky": b""}
    group, (leader, _) = _stable(
        _request(instance_id="a", protocols=both), _request(instance_id="b", protocols=both)
    )

    back = _join(group, _request(instance_id="b", protocols={"sticky": b""}), 2.0)
    assert not back.done()
    _join(group, _request(leader, "a", protocols=both), 2.1)

    assert (_joined(back).generation, _joined(back).protocol) == (2, "sticky")


def test_a_static_member_that_only_says_other_things_causes_none() -> None:
    """A restarted consumer no longer says what it owned, and is given it back all the same."""
    group, (_, follower) = _stable(_request(instance_id="a"), _request(instance_id="b"))

    back = _joined(_join(group, _request(instance_id="b", protocols={"range": b"owns nothing"}), 2.0))

    assert group.state is GroupState.STABLE
    assert _sync(group, back.member_id, "b", 1, {}, 2.1).result() == follower.encode()


def test_a_static_member_that_restarts_amid_a_rebalance_starts_it_over() -> None:
    """The leader has been told of its former self, and would assign to that."""
    group = _group()
    first, second = (
        _join(group, _request(instance_id="a"), 0.0),
        _join(group, _request(instance_id="b"), 0.0),
    )
    _let_gather(group)
    assert _joined(second).generation == 1

    back = _join(group, _request(instance_id="b"), 0.4)
    leader = _joined(first).member_id
    assert _code(_sync, group, leader, "a", 1, {}, 0.5) is ErrorCode.rebalance_in_progress
    _join(group, _request(leader, "a"), 0.6)

    assert _joined(back).generation == 2


def test_an_administrator_removes_a_static_member_by_its_instance() -> None:
    group, (leader, _) = _stable(_request(instance_id="a"), _request(instance_id="b"))

    group.leave("", "b", 2.0)

    assert _ids(group) == {leader}


def test_members_without_a_common_protocol_cannot_share_a_group() -> None:
    group, _ = _stable()

    foreign = _request(protocols={"sticky": b""})
    assert _code(_join, group, foreign, 2.0) is ErrorCode.inconsistent_group_protocol
    other_type = _request(protocol_type="connect")
    assert _code(_join, group, other_type, 2.0) is ErrorCode.inconsistent_group_protocol


def test_the_protocol_most_wanted_by_members_is_chosen() -> None:
    group = _group()
    both = {"range": b"r", "sticky": b"s"}
    reverse = {"sticky": b"s", "range": b"r"}
    waiting = [_join(group, _request(protocols=wanted), 0.0) for wanted in (both, reverse, reverse)]

    _let_gather(group)

    assert {_joined(each).protocol for each in waiting} == {"sticky"}


def test_commits_are_taken_from_current_members_alone() -> None:
    group, (member,) = _stable()

    _check_commit(group, member, None, 1, 2.0)
    assert _code(_check_commit, group, member, None, 0, 2.0) is ErrorCode.illegal_generation
    assert _code(_check_commit, group, "stranger", None, 1, 2.0) is ErrorCode.unknown_member_id
    assert _code(_check_commit, group, "", None, -1, 2.0) is ErrorCode.unknown_member_id


def test_a_client_without_a_group_commits_to_an_empty_one() -> None:
    _check_commit(_group(), "", None, -1, 0.0)


def test_a_member_may_still_commit_before_it_joins_again() -> None:
    group, (member,) = _stable()
    _join(group, _request(), 2.0)

    _check_commit(group, member, None, 1, 2.1)
    again = _join(group, _request(member), 2.2)

    assert _joined(again).generation == 2
    assert _code(_check_commit, group, member, None, 2, 2.3) is ErrorCode.rebalance_in_progress


def test_static_members_that_all_stay_away_are_waited_for_again() -> None:
    """They live, so they keep their places; whoever comes back is not left waiting for the others for ever."""
    group, (first, second) = _stable(_request(instance_id="a"), _request(instance_id="b"))
    _join(group, _request(), 2.0)
    (newcomer,) = _ids(group) - {first, second}
    group.leave(newcomer, None, 3.0)
    _keep_alive(group, (first, second), until=2 + int(_REBALANCE))
    assert group.state is GroupState.PREPARING

    again = _join(group, _request(first, "a"), 33.0)
    _keep_alive(group, (second,), since=33, until=2 + 2 * int(_REBALANCE))

    assert _joined(again).generation == 2
    assert _ids(group) == {first, second}


def _keep_alive(group: Group, members: tuple[str, ...], *, since: int = 3, until: int) -> None:
    """Each member's heartbeats, every second, and the passing of time."""
    for now in range(since, until + 1):
        for member in members:
            with contextlib.suppress(Refused):
                _heartbeat(group, member, None, group.generation, float(now))
        group.expire(float(now))


def test_whoever_comes_while_a_group_gathers_prolongs_it_within_its_patience() -> None:
    group = _group()
    waiting = [_join(group, _request(rebalance_timeout=0.25), 0.0)]
    for comes, waited in ((0.05, 0.1), (0.15, 0.2), (0.22, 0.24)):
        waiting.append(_join(group, _request(rebalance_timeout=0.25), comes))
        group.expire(waited)
        assert not any(each.done() for each in waiting)

    group.expire(0.25)

    assert {_joined(each).generation for each in waiting} == {1}


def test_a_full_group_takes_nobody_else() -> None:
    group, (leader, follower) = _stable(_request(), _request(), max_size=2)

    assert _code(_join, group, _request(), 2.0) is ErrorCode.group_max_size_reached
    assert _ids(group) == {leader, follower}
    _heartbeat(group, leader, None, 1, 2.0)


def test_ids_given_out_hold_places_too() -> None:
    group = _group(max_size=2)
    for _ in range(2):
        assert _code(_join, group, _request(must_know_its_id=True), 0.0) is ErrorCode.member_id_required

    assert _code(_join, group, _request(must_know_its_id=True), 0.0) is ErrorCode.group_max_size_reached


def test_a_place_is_not_held_for_who_has_not_come_back() -> None:
    """While members gather, the last of the old ones can be kept out by a new one."""
    group, (leader, slow) = _stable(_request(), _request(), max_size=2)
    _join(group, _request(leader, protocols={"range": b"other"}), 2.0)

    newcomer = _join(group, _request(), 2.1)
    group.expire(2.0 + _REBALANCE)

    assert _ids(group) == {leader, _joined(newcomer).member_id}
    assert _code(_heartbeat, group, slow, None, 2, 33.0) is ErrorCode.unknown_member_id


def test_a_newcomer_that_is_never_let_in_is_forgotten() -> None:
    """Its client has long asked again, under another id."""
    group, (member,) = _stable(_request(rebalance_timeout=1000.0))
    newcomer = _join(group, _request(rebalance_timeout=1000.0), 2.0)
    for now in range(3, 2 + int(NEW_MEMBER_WAITS), 5):
        with contextlib.suppress(Refused):
            _heartbeat(group, member, None, 1, float(now))
        group.expire(float(now))
    assert not newcomer.done()

    group.expire(2.0 + NEW_MEMBER_WAITS)

    assert _refused(newcomer) is ErrorCode.unknown_member_id
    assert _ids(group) == {member}


def test_a_follower_that_does_not_ask_for_its_assignment_is_dropped() -> None:
    """Its leader has assigned; the follower lives, and beats, and holds partitions it does not read."""
    group = _group()
    first, second = _join(group, _request(), 0.0), _join(group, _request(), 0.0)
    _let_gather(group)
    leader, idle = _joined(first).member_id, _joined(second).member_id
    _sync(group, leader, None, 1, {}, 0.3)
    assert group.state is GroupState.STABLE
    for now in (8.0, 16.0, 24.0, 30.0):
        _heartbeat(group, leader, None, 1, now)
        _heartbeat(group, idle, None, 1, now)
        group.expire(now)
    assert _ids(group) == {leader, idle}

    group.expire(2 * _INITIAL + _REBALANCE)

    assert _ids(group) == {leader}
    assert _code(_heartbeat, group, leader, None, 1, 31.0) is ErrorCode.rebalance_in_progress


def test_a_commit_inside_a_transaction_needs_no_name_but_a_true_one() -> None:
    group, (member,) = _stable()

    _check_commit(group, "", None, -1, 2.0, in_transaction=True)
    _check_commit(group, member, None, 1, 2.0, in_transaction=True)
    with pytest.raises(Refused) as refused:
        _check_commit(group, member, None, 0, 2.0, in_transaction=True)
    assert refused.value.code is ErrorCode.illegal_generation


def test_only_a_group_with_nobody_in_it_nor_about_to_be_can_be_forgotten() -> None:
    group = _group()
    assert _code(_join, group, _request(must_know_its_id=True), 0.0) is ErrorCode.member_id_required
    promised = group.is_forgettable
    group.expire(_SESSION)
    assert (promised, group.is_forgettable) == (False, True)

    group.forget()

    assert [group.state] == [GroupState.DEAD]
