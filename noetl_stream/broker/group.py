"""One consumer group as a state machine: Kafka's classic protocol, with static members (KIP-345).

```
Empty ──join──▶ PreparingRebalance ──all have joined, or time is up──▶ CompletingRebalance
  ▲                 ▲     │ nobody came                                      │ the leader assigns
  └─────────────────┼─────┘                                                 ▼
                    └──────────── join, leave, expiry ───────────────── Stable
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
from noetl_stream.broker.refusal import Refused


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
        self._pending: dict[str, float] = {}
        self._static: dict[str, str] = {}
        self._phase_ends: float | None = None
        self._gathering = False
        self.state = GroupState.EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol = ""
        self.leader = ""
        self.members: dict[str, Member] = {}

    # Joining.

    def join(self, request: JoinRequest, now: float) -> asyncio.Future[Joined | Refused]:
        """Enter the group, or come back to it: the future ends with the next generation, or at once."""
        self._require_common_protocol(request)
        if not request.member_id:
            return self._join_anew(request, now)
        if request.member_id in self._pending:
            del self._pending[request.member_id]
            return self._add(request.member_id, request, now)
        member = self._member(request.member_id, request.instance_id)
        return self._rejoin(member, request, now)

    def _join_anew(self, request: JoinRequest, now: float) -> asyncio.Future[Joined | Refused]:
        member_id = f"{request.instance_id or request.client_id}-{uuid.uuid4()}"
        if request.instance_id is not None and request.instance_id in self._static:
            return self._replace_static(member_id, request, now)
        if request.must_know_its_id and request.instance_id is None:
            self._pending[member_id] = now + request.session_timeout
            raise MemberIdRequired(member_id)
        return self._add(member_id, request, now)

    def _add(self, member_id: str, request: JoinRequest, now: float) -> asyncio.Future[Joined | Refused]:
        member = self.members[member_id] = Member(member_id=member_id, request=request, last_seen=now)
        if request.instance_id is not None:
            self._static[request.instance_id] = member_id
        self.protocol_type = request.protocol_type
        waiting = member.wait_for_join()
        self._rebalance(now)
        return waiting

    def _rejoin(self, member: Member, request: JoinRequest, now: float) -> asyncio.Future[Joined | Refused]:
        unchanged = dict(member.request.protocols) == dict(request.protocols)
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

    def _replace_static(
        self, member_id: str, request: JoinRequest, now: float
    ) -> asyncio.Future[Joined | Refused]:
        """A static member has restarted: it takes its place over under a new id, its old self is fenced."""
        assert request.instance_id is not None
        old = self.members.pop(self._static[request.instance_id])
        old.answer_both(Refused(ErrorCode.fenced_instance_id))
        was_leader, self._static[request.instance_id] = old.member_id == self.leader, member_id
        self.leader = member_id if was_leader else self.leader
        member = self.members[member_id] = Member(
            member_id=member_id, request=request, last_seen=now, assignment=old.assignment
        )
        waiting = member.wait_for_join()
        unchanged = dict(old.request.protocols) == dict(request.protocols)
        if self.state is not GroupState.STABLE or not unchanged:
            self._rebalance(now)
        elif was_leader and request.may_skip_assignment:
            member.answer_join(self._joined(member_id, skip_assignment=True))
        else:
            # An older client leads no more under the id it is told, so that it only asks for its assignment.
            member.answer_join(self._joined(member_id, leader=old.member_id if was_leader else None))
        return waiting

    def _require_common_protocol(self, request: JoinRequest) -> None:
        others = [member for member in self.members.values() if member.member_id != request.member_id]
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
            for member in self.members.values()
        }

    # The rebalance.

    def _rebalance(self, now: float) -> None:
        """Ask everyone to join again; complete at once if everyone already waits."""
        if self.state is not GroupState.PREPARING:
            self._gathering = self.state is GroupState.EMPTY
            for member in self.members.values():
                member.answer_sync(Refused(ErrorCode.rebalance_in_progress))
            self.state = GroupState.PREPARING
            self._phase_ends = now + (self._initial_delay if self._gathering else self._rebalance_timeout())
        self._complete_if_all_joined(now)

    def _complete_if_all_joined(self, now: float) -> None:
        if self.state is not GroupState.PREPARING or self._gathering or self._pending:
            return
        if all(member.is_joining for member in self.members.values()):
            self._complete(now)

    def _complete(self, now: float) -> None:
        """End the join phase: drop who did not come, and tell the others their generation."""
        for member in [m for m in self.members.values() if not m.is_joining and not m.is_static]:
            self._forget(member)
        self._gathering, self._phase_ends = False, None
        joined = [member for member in self.members.values() if member.is_joining]
        if not joined and self.members:  # only static members, all away: wait for them or their sessions' end
            self._phase_ends = now + self._rebalance_timeout()
            return
        self.generation += 1
        if not self.members:
            self.state, self.leader, self.protocol = GroupState.EMPTY, "", ""
            return
        self._begin_generation(joined, now)

    def _begin_generation(self, joined: list[Member], now: float) -> None:
        self.state = GroupState.COMPLETING
        self._phase_ends = now + self._rebalance_timeout()
        self.protocol = self._vote()
        if self.leader not in {member.member_id for member in joined}:
            self.leader = joined[0].member_id
        for member in joined:
            member.assignment, member.last_seen = b"", now
            member.answer_join(self._joined(member.member_id))

    def _vote(self) -> str:
        """Each member's vote goes to its most wanted protocol among those all know."""
        ballots = [member.request.protocols for member in self.members.values()]
        common = set(ballots[0]).intersection(*ballots)
        votes = Counter(next(name for name in ballot if name in common) for ballot in ballots)
        return votes.most_common(1)[0][0]

    def _rebalance_timeout(self) -> float:
        return max((member.request.rebalance_timeout for member in self.members.values()), default=0.0)

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
        for member in self.members.values():
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
        if self._pending.pop(member_id, None) is not None:
            self._complete_if_all_joined(now)
            return
        if not member_id and instance_id is not None:
            member_id = self._static.get(instance_id, "")
        self._remove(self._member(member_id, instance_id), now)

    def expire(self, now: float) -> None:
        """Carry out whatever `deadline` promised."""
        self._pending = {member_id: at for member_id, at in self._pending.items() if at > now}
        for member in list(self.members.values()):
            if member.expires_at is not None and member.expires_at <= now:
                self._remove(member, now)
        if self._phase_ends is None or self._phase_ends > now:
            self._complete_if_all_joined(now)
        elif self.state is GroupState.PREPARING:
            self._complete(now)
        elif self.state is GroupState.COMPLETING:
            self._drop_who_did_not_sync(now)

    @property
    def deadline(self) -> float | None:
        """When `expire` must next be called."""
        sessions = [member.expires_at for member in self.members.values()]
        times = [at for at in (self._phase_ends, *self._pending.values(), *sessions) if at is not None]
        return min(times, default=None)

    def _drop_who_did_not_sync(self, now: float) -> None:
        for member in [m for m in self.members.values() if m.syncing is None]:
            self._forget(member)
        self._rebalance(now)

    def _remove(self, member: Member, now: float) -> None:
        self._forget(member)
        if self.state in (GroupState.STABLE, GroupState.COMPLETING):
            self._rebalance(now)
        else:
            self._complete_if_all_joined(now)

    def _forget(self, member: Member) -> None:
        member.answer_both(Refused(ErrorCode.unknown_member_id))
        del self.members[member.member_id]
        if member.request.instance_id is not None:
            del self._static[member.request.instance_id]

    # Who is who.

    def _member(self, member_id: str, instance_id: str | None) -> Member:
        if instance_id is not None and instance_id in self._static and self._static[instance_id] != member_id:
            raise Refused(ErrorCode.fenced_instance_id)
        member = self.members.get(member_id)
        if member is None:
            raise Refused(ErrorCode.unknown_member_id)
        return member

    def _current(self, member_id: str, instance_id: str | None, generation: int) -> Member:
        member = self._member(member_id, instance_id)
        if generation != self.generation:
            raise Refused(ErrorCode.illegal_generation)
        return member
