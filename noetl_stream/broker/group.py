"""One consumer group as a state machine: Kafka's classic protocol, with static members (KIP-345).

```
Empty ──join──▶ PreparingRebalance ──all have joined, or time is up──▶ CompletingRebalance
  ▲                 ▲     │ nobody came                                      │ the leader assigns
  └─────────────────┼─────┘                                                  ▼
                    └──────────── join, leave, expiry ──────────────────── Stable
```
Time is an argument, in seconds on any monotonic clock: the coordinator calls `expire` when `deadline` has come.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from kio.schema.errors import ErrorCode

from noetl_stream.broker.member import Joined, JoinRequest, Member
from noetl_stream.broker.roster import Roster
from noetl_stream.commitlog.refusal import Refused


class GroupState(StrEnum):
    """Named as DescribeGroups shows them."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"


class MemberIdRequired(Refused):
    """A new member must join again with the id it is given here."""

    def __init__(self, member_id: str) -> None:
        self.member_id = member_id
        super().__init__(ErrorCode.member_id_required)


class Group:
    """The members of a group and where its rebalance stands. Every refusal is raised as `Refused`."""

    def __init__(self, *, initial_delay: float) -> None:
        self._initial_delay = initial_delay
        self._phase_ends: float | None = None
        self._gathering = False
        self.members = Roster()
        self.state = GroupState.EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol = ""
        self.leader = ""

    # Joining.

    def join(self, request: JoinRequest, now: float) -> asyncio.Future[Joined | Refused]:
        """Enter the group, or come back to it: the future ends with the next generation, or at once."""
        self._require_common_protocol(request)
        if not request.member_id:
            return self._join_anew(request, now)
        if self.members.redeem(request.member_id):
            return self._add(request.member_id, request, now)
        return self._rejoin(self.members.find(request.member_id, request.instance_id), request, now)

    def _join_anew(self, request: JoinRequest, now: float) -> asyncio.Future[Joined | Refused]:
        member_id = f"{request.instance_id or request.client_id}-{uuid.uuid4()}"
        replaced = self.members.static_id(request.instance_id)
        if replaced is not None:
            return self._replace(self.members.find(replaced, None), member_id, request, now)
        if request.must_know_its_id and request.instance_id is None:
            self.members.promise(member_id, until=now + request.session_timeout)
            raise MemberIdRequired(member_id)
        return self._add(member_id, request, now)

    def _add(self, member_id: str, request: JoinRequest, now: float) -> asyncio.Future[Joined | Refused]:
        waiting = self.members.add(member_id, request, now).wait_for_join()
        self.protocol_type = request.protocol_type
        self._rebalance(now)
        return waiting

    def _rejoin(self, member: Member, request: JoinRequest, now: float) -> asyncio.Future[Joined | Refused]:
        unchanged = member.request.wants_the_same_as(request)
        member.request, member.last_seen = request, now
        waiting = member.wait_for_join()
        match self.state:
            case GroupState.STABLE if unchanged and member.member_id != self.leader:
                member.answer_join(self._joined(member.member_id))
            case GroupState.COMPLETING if unchanged:
                member.answer_join(self._joined(member.member_id))
            case _:
                self._rebalance(now)
        return waiting

    def _replace(
        self, old: Member, member_id: str, request: JoinRequest, now: float
    ) -> asyncio.Future[Joined | Refused]:
        """A static member has restarted: it takes its place over under a new id, its old self is fenced."""
        self.members.forget(old, ErrorCode.fenced_instance_id)
        member = self.members.add(member_id, request, now)
        member.assignment = old.assignment
        waiting = member.wait_for_join()
        led = old.member_id == self.leader
        self.leader = member_id if led else self.leader
        if self.state is not GroupState.STABLE or not old.request.wants_the_same_as(request):
            self._rebalance(now)
        elif led and request.may_skip_assignment:
            member.answer_join(self._joined(member_id, skip_assignment=True))
        else:
            # An older client is told that its former self leads, so that it only asks for its assignment.
            member.answer_join(self._joined(member_id, leader=old.member_id if led else None))
        return waiting

    def _require_common_protocol(self, request: JoinRequest) -> None:
        others = [member for member in self.members if member.member_id != request.member_id]
        known = set(request.protocols).intersection(*(member.request.protocols for member in others))
        same_type = not others or request.protocol_type == self.protocol_type
        if not request.protocol_type or not known or not same_type:
            raise Refused(ErrorCode.inconsistent_group_protocol)

    def _joined(self, member_id: str, *, leader: str | None = None, skip_assignment: bool = False) -> Joined:
        leader = self.leader if leader is None else leader
        return Joined(
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            leader=leader,
            member_id=member_id,
            skip_assignment=skip_assignment,
            metadata=self._metadata() if member_id == leader else {},
        )

    def _metadata(self) -> dict[str, tuple[str | None, bytes]]:
        return {
            member.member_id: (member.request.instance_id, member.request.protocols[self.protocol])
            for member in self.members
        }

    # The rebalance.

    def _rebalance(self, now: float) -> None:
        """Ask everyone to join again; complete at once if everyone already waits."""
        if self.state is not GroupState.PREPARING:
            self._gathering = self.state is GroupState.EMPTY
            for member in self.members:
                member.answer_sync(Refused(ErrorCode.rebalance_in_progress))
            self.state = GroupState.PREPARING
            self._phase_ends = now + (
                self._initial_delay if self._gathering else self.members.rebalance_timeout()
            )
        self._complete_if_all_joined(now)

    def _complete_if_all_joined(self, now: float) -> None:
        if self.state is not GroupState.PREPARING or self._gathering or self.members.has_promised:
            return
        if all(member.is_joining for member in self.members):
            self._complete(now)

    def _complete(self, now: float) -> None:
        """End the join phase: drop who did not come, and tell the others their generation."""
        for member in self.members:
            if not member.is_joining and not member.is_static:
                self.members.forget(member)
        self._gathering, self._phase_ends = False, None
        joined = [member for member in self.members if member.is_joining]
        if not joined and self.members:  # only static members, all away: wait for them or their sessions' end
            self._phase_ends = now + self.members.rebalance_timeout()
            return
        self.generation += 1
        if joined:
            self._begin_generation(joined, now)
        else:
            self.state, self.leader, self.protocol = GroupState.EMPTY, "", ""

    def _begin_generation(self, joined: list[Member], now: float) -> None:
        self.state = GroupState.COMPLETING
        self._phase_ends = now + self.members.rebalance_timeout()
        self.protocol = self._vote()
        if self.leader not in {member.member_id for member in joined}:
            self.leader = joined[0].member_id
        for member in joined:
            member.assignment, member.last_seen = b"", now
            member.answer_join(self._joined(member.member_id))

    def _vote(self) -> str:
        """Each member's vote goes to its most wanted protocol among those all know."""
        ballots = [member.request.protocols for member in self.members]
        common = set(ballots[0]).intersection(*ballots)
        votes = Counter(next(name for name in ballot if name in common) for ballot in ballots)
        return votes.most_common(1)[0][0]

    # Assignments.

    def sync(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        assignments: Mapping[str, bytes],
        now: float,
    ) -> asyncio.Future[bytes | Refused]:
        """A member's assignment: at once if the leader has decided, else when it does."""
        member = self._current(member_id, instance_id, generation)
        member.last_seen = now
        if self.state is GroupState.PREPARING:
            raise Refused(ErrorCode.rebalance_in_progress)
        waiting = member.wait_for_sync()
        if self.state is GroupState.COMPLETING and member_id == self.leader:
            self._assign(assignments, now)
        elif self.state is GroupState.STABLE:
            member.answer_sync(member.assignment)
        return waiting

    def _assign(self, assignments: Mapping[str, bytes], now: float) -> None:
        self.state, self._phase_ends = GroupState.STABLE, None
        for member in self.members:
            member.assignment = assignments.get(member.member_id, b"")
            if member.syncing is not None:
                member.last_seen = now
            member.answer_sync(member.assignment)

    # Staying and leaving.

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int, now: float) -> None:
        """Stay a member; refused with rebalance_in_progress when it must join again."""
        self._current(member_id, instance_id, generation).last_seen = now
        if self.state is GroupState.PREPARING:
            raise Refused(ErrorCode.rebalance_in_progress)

    def check_commit(self, member_id: str, instance_id: str | None, generation: int, now: float) -> None:
        """Whether these may commit offsets. Without a generation only an empty group takes them."""
        if generation < 0 and self.state is GroupState.EMPTY:
            return
        self._current(member_id, instance_id, generation).last_seen = now
        if self.state is GroupState.COMPLETING:
            raise Refused(ErrorCode.rebalance_in_progress)

    def leave(self, member_id: str, instance_id: str | None, now: float) -> None:
        """Go, by member id or, for an administrator, by instance id alone."""
        if self.members.redeem(member_id):
            self._complete_if_all_joined(now)
            return
        named = member_id or self.members.static_id(instance_id) or ""
        self._remove(self.members.find(named, instance_id), now)

    def _remove(self, member: Member, now: float) -> None:
        self.members.forget(member)
        if self.state in (GroupState.STABLE, GroupState.COMPLETING):
            self._rebalance(now)
        else:
            self._complete_if_all_joined(now)

    def _current(self, member_id: str, instance_id: str | None, generation: int) -> Member:
        member = self.members.find(member_id, instance_id)
        if generation != self.generation:
            raise Refused(ErrorCode.illegal_generation)
        return member

    # Time.

    @property
    def deadline(self) -> float | None:
        """When `expire` must next be called."""
        phase = [self._phase_ends] if self._phase_ends is not None else []
        return min([*phase, *self.members.deadlines()], default=None)

    def expire(self, now: float) -> None:
        """Carry out whatever `deadline` promised."""
        self.members.drop_broken_promises(now)
        for member in self.members.expired(now):
            self._remove(member, now)
        if self._phase_ends is None or self._phase_ends > now:
            self._complete_if_all_joined(now)
        elif self.state is GroupState.PREPARING:
            self._complete(now)
        elif self.state is GroupState.COMPLETING:
            self._drop_who_did_not_sync(now)

    def _drop_who_did_not_sync(self, now: float) -> None:
        for member in self.members:
            if member.syncing is None:
                self.members.forget(member)
        self._rebalance(now)
