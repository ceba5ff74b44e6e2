"""One consumer group as a state machine: Kafka's classic protocol, with static members (KIP-345).

Where a group stands moves by `ARROWS` alone, and what its members may do there is in `REFUSALS`. Time is an argument,
in seconds on any monotonic clock: the coordinator calls `expire` when `deadline` has come. Nothing here waits: an
answer that must wait is called back.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from kio.schema.errors import ErrorCode

from noetl_stream.broker.member import JoinAnswer, Joined, JoinRequest, Member, SyncAnswer
from noetl_stream.broker.phase import Phase
from noetl_stream.broker.roster import Roster, renewed
from noetl_stream.commitlog.refusal import Refused


class GroupState(StrEnum):
    """Named as DescribeGroups shows them."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


Event = Literal["rebalance", "gathered", "deserted", "assigned", "forgotten"]

ARROWS: Mapping[tuple[GroupState, Event], GroupState] = {
    (GroupState.EMPTY, "rebalance"): GroupState.PREPARING,
    (GroupState.STABLE, "rebalance"): GroupState.PREPARING,
    (GroupState.COMPLETING, "rebalance"): GroupState.PREPARING,
    (GroupState.PREPARING, "gathered"): GroupState.COMPLETING,
    (GroupState.PREPARING, "deserted"): GroupState.EMPTY,
    (GroupState.COMPLETING, "assigned"): GroupState.STABLE,
    (GroupState.EMPTY, "forgotten"): GroupState.DEAD,
}

REFUSALS: Mapping[tuple[Literal["heartbeat", "sync", "commit"], GroupState], ErrorCode] = {
    ("heartbeat", GroupState.PREPARING): ErrorCode.rebalance_in_progress,
    ("sync", GroupState.PREPARING): ErrorCode.rebalance_in_progress,
    ("commit", GroupState.COMPLETING): ErrorCode.rebalance_in_progress,
}
"""What a member of the present generation is told; where nothing is said, it may."""


class MemberIdRequired(Refused):
    """A new member must join again with the id it is given here."""

    def __init__(self, member_id: str) -> None:
        self.member_id = member_id
        super().__init__(ErrorCode.member_id_required)


class Group:
    """The members of a group and where its rebalance stands. Every refusal is raised as `Refused`."""

    def __init__(self, *, initial_delay: float, max_size: int) -> None:
        self._initial_delay, self._max_size = initial_delay, max_size
        self._phase = Phase()
        self.members = Roster()
        self.state = GroupState.EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol = ""
        self.leader = ""

    def _move(self, event: Event) -> None:
        self.state = ARROWS[self.state, event]

    @property
    def is_forgettable(self) -> bool:
        """Nobody is in it, nor about to be."""
        return self.state is GroupState.EMPTY and not self.members.promised

    def forget(self) -> None:
        """It is no longer kept."""
        self._move("forgotten")

    # Joining.

    def join(self, request: JoinRequest, now: float, answer: JoinAnswer) -> None:
        """Enter the group, or come back to it: answered with the next generation, or at once."""
        gathering = self.state is GroupState.PREPARING
        if self.members.places_taken_before(request, gathering=gathering) >= self._max_size:
            raise Refused(ErrorCode.group_max_size_reached)
        if not self.members.share_a_protocol_with(request):
            raise Refused(ErrorCode.inconsistent_group_protocol)
        if not request.member_id:
            self._join_anew(request, now, answer)
        elif self.members.redeem(request.member_id):
            self._add(request.member_id, request, now, answer)
        else:
            self._rejoin(self.members.find(request.member_id, request.instance_id), request, now, answer)

    def _join_anew(self, request: JoinRequest, now: float, answer: JoinAnswer) -> None:
        former = self.members.static(request.instance_id)
        if former is not None:
            self._replace(former, request, now, answer)
        elif request.must_know_its_id and request.instance_id is None:
            self.members.promise(request.new_member_id, until=now + request.session_timeout)
            raise MemberIdRequired(request.new_member_id)
        else:
            self._add(request.new_member_id, request, now, answer)

    def _add(self, member_id: str, request: JoinRequest, now: float, answer: JoinAnswer) -> None:
        self.members.add(member_id, request, now).wait_for_join(answer)
        self.protocol_type = request.protocol_type
        self._phase.note_newcomer()
        self._rebalance(now)

    def _rejoin(self, member: Member, request: JoinRequest, now: float, answer: JoinAnswer) -> None:
        unchanged = renewed(member, request, now)
        member.wait_for_join(answer)
        leads = member.member_id == self.leader
        follows_on = self.state is GroupState.STABLE and unchanged and not leads
        asks_again = self.state is GroupState.COMPLETING and unchanged
        if follows_on or asks_again:
            member.answer_join(self._joined(member.member_id))
        else:
            self._rebalance(now)

    def _replace(self, former: Member, request: JoinRequest, now: float, answer: JoinAnswer) -> None:
        """A static member has restarted: it takes its place over under a new id."""
        member = self.members.replace(former, request, now)
        member.wait_for_join(answer)
        led = former.member_id == self.leader
        self.leader = member.member_id if led else self.leader
        if self.state is not GroupState.STABLE or self.members.vote() != self.protocol:
            self._rebalance(now)
        elif led and request.may_skip_assignment:
            member.answer_join(self._joined(member.member_id, skip_assignment=True))
        else:
            # An older client is told that its former self leads, so that it only asks for its assignment.
            leader = former.member_id if led else self.leader
            member.answer_join(self._joined(member.member_id, leader=leader))

    def _joined(self, member_id: str, *, leader: str | None = None, skip_assignment: bool = False) -> Joined:
        leader = self.leader if leader is None else leader
        return Joined(
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            leader=leader,
            member_id=member_id,
            skip_assignment=skip_assignment,
            metadata=self.members.metadata(self.protocol) if member_id == leader else {},
        )

    # The rebalance.

    def _rebalance(self, now: float) -> None:
        """Ask everyone to join again; complete at once if everyone already waits."""
        if self.state is not GroupState.PREPARING:
            self._begin_rebalance(now)
        self._complete_if_all_joined(now)

    def _begin_rebalance(self, now: float) -> None:
        patience = self.members.rebalance_timeout()
        if self.state is GroupState.EMPTY:
            self._phase.gather(now, patience, self._initial_delay)
        else:
            self._phase.begin(now, patience)
        self._move("rebalance")
        for member in self.members:
            member.answer_sync(Refused(ErrorCode.rebalance_in_progress))

    def _complete_if_all_joined(self, now: float) -> None:
        preparing = self.state is GroupState.PREPARING and not self._phase.is_gathering
        if preparing and not self.members.promised and len(self.members.joining()) == len(self.members):
            self._complete(now)

    def _complete(self, now: float) -> None:
        """End the join phase: drop who did not come, and tell the others their generation."""
        for member in self.members:
            if not member.is_joining and not member.is_static:
                self.members.forget(member)
        joined = self.members.joining()
        self._phase.end()
        if joined:
            self._begin_generation(joined, now)
        elif self.members:  # only static members, all away: wait for them or their sessions' end
            self._phase.begin(now, self.members.rebalance_timeout())
        else:
            self._move("deserted")
            self.generation, self.leader, self.protocol = self.generation + 1, "", ""

    def _begin_generation(self, joined: list[Member], now: float) -> None:
        self._move("gathered")
        self.generation += 1
        self._phase.begin(now, self.members.rebalance_timeout())
        self.protocol = self.members.vote()
        if self.leader not in {member.member_id for member in joined}:
            self.leader = joined[0].member_id
        for member in self.members:
            member.assignment, member.has_synced = b"", False
        for member in joined:
            member.last_seen, member.is_new = now, False
            member.answer_join(self._joined(member.member_id))

    # Assignments.

    def sync(self, member: Member, assignments: Mapping[str, bytes], now: float, answer: SyncAnswer) -> None:
        """Ask for a member's assignment: answered at once if the leader has decided, else when it does."""
        self._require("sync")
        member.wait_for_sync(answer)
        member.has_synced = True
        if self.state is GroupState.COMPLETING and member.member_id == self.leader:
            self._assign(assignments, now)
        elif self.state is GroupState.STABLE:
            member.answer_sync(member.assignment)
        if self.state is GroupState.STABLE and all(each.has_synced for each in self.members):
            self._phase.end()

    def _assign(self, assignments: Mapping[str, bytes], now: float) -> None:
        self._move("assigned")
        for member in self.members:
            member.assignment = assignments.get(member.member_id, b"")
            if member.syncing is not None:
                member.last_seen = now
            member.answer_sync(member.assignment)

    # Staying and leaving.

    def current(self, member_id: str, instance_id: str | None, generation: int, now: float) -> Member:
        """The member of the present generation who says that it is this one; its session begins anew."""
        member = self.members.find(member_id, instance_id)
        if generation != self.generation:
            raise Refused(ErrorCode.illegal_generation)
        member.last_seen = now
        return member

    def _require(self, act: Literal["heartbeat", "sync", "commit"]) -> None:
        code = REFUSALS.get((act, self.state))
        if code is not None:
            raise Refused(code)

    def heartbeat(self) -> None:
        """Refused with rebalance_in_progress when members must join again."""
        self._require("heartbeat")

    def check_commit(
        self, member_id: str, instance_id: str | None, generation: int, now: float, *, in_transaction: bool
    ) -> None:
        """Whether these may commit offsets.

        Who names neither itself nor a generation may while the group is empty; in a transaction always, since older
        clients say neither there.
        """
        anonymous = generation < 0 and not member_id and instance_id is None
        if self.state is GroupState.EMPTY and generation < 0:
            return
        if anonymous:
            if not in_transaction:
                raise Refused(ErrorCode.unknown_member_id)
            return
        self.current(member_id, instance_id, generation, now)
        if not in_transaction:
            self._require("commit")

    def leave(self, member_id: str, instance_id: str | None, now: float) -> None:
        """Go, by member id or, for an administrator, by instance id alone."""
        if self.members.redeem(member_id):
            self._complete_if_all_joined(now)
            return
        named = member_id or getattr(self.members.static(instance_id), "member_id", "")
        self._remove(self.members.find(named, instance_id), now)

    def _remove(self, member: Member, now: float) -> None:
        self.members.forget(member)
        if self.state in (GroupState.STABLE, GroupState.COMPLETING):
            self._rebalance(now)
        else:
            self._complete_if_all_joined(now)

    # Time.

    @property
    def deadline(self) -> float | None:
        """When `expire` must next be called."""
        phase = [self._phase.ends] if self._phase.ends is not None else []
        return min([*phase, *self.members.deadlines()], default=None)

    def expire(self, now: float) -> None:
        """Carry out whatever `deadline` promised."""
        self.members.drop_broken_promises(now)
        for member in self.members.expired(now):
            self._remove(member, now)
        if not self._phase.is_over(now):
            self._complete_if_all_joined(now)
        elif self.state is not GroupState.PREPARING:
            self._drop_who_did_not_sync(now)
        elif not self._phase.prolong(now, self._initial_delay):
            self._complete(now)

    def _drop_who_did_not_sync(self, now: float) -> None:
        self._phase.end()
        absent = [member for member in self.members if not member.has_synced]
        for member in absent:
            self.members.forget(member)
        if absent:
            self._rebalance(now)
