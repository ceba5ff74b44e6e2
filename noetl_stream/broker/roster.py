"""Who belongs to a consumer group: members, the places of static ones, and ids given out but not used yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from kio.schema.errors import ErrorCode

from noetl_stream.broker.member import JoinRequest, Member
from noetl_stream.commitlog.refusal import Refused


class Roster:
    """Members in the order of their coming."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._static: dict[str, str] = {}
        self._promised: dict[str, float] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._members.values()))

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member_id: object) -> bool:
        return member_id in self._members

    def find(self, member_id: str, instance_id: str | None) -> Member:
        """The member who says that it is this one.

        Raises:
            Refused: nobody is, or its instance has been taken over by a newer one.
        """
        if self._static.get(instance_id or "", member_id) != member_id:
            raise Refused(ErrorCode.fenced_instance_id)
        member = self._members.get(member_id)
        if member is None:
            raise Refused(ErrorCode.unknown_member_id)
        return member

    def static(self, instance_id: str | None) -> Member | None:
        """The member that is here as this static instance."""
        return self._members.get(self._static.get(instance_id or "", ""))

    def joining(self) -> list[Member]:
        return [member for member in self._members.values() if member.is_joining]

    def add(self, member_id: str, request: JoinRequest, now: float) -> Member:
        member = Member(member_id=member_id, request=request, last_seen=now)
        self._members[member_id] = member
        if request.instance_id is not None:
            self._static[request.instance_id] = member_id
        return member

    def replace(self, old: Member, request: JoinRequest, now: float) -> Member:
        """A static member's new self, with its assignment; its old self is fenced."""
        self.forget(old, ErrorCode.fenced_instance_id)
        member = self.add(request.new_member_id, request, now)
        member.assignment, member.has_synced, member.is_new = old.assignment, old.has_synced, old.is_new
        return member

    def forget(self, member: Member, reason: ErrorCode = ErrorCode.unknown_member_id) -> None:
        """Remove a member, telling it why if it waits for an answer."""
        member.answer_both(Refused(reason))
        del self._members[member.member_id]
        if member.request.instance_id is not None:
            del self._static[member.request.instance_id]

    def places_taken_before(self, request: JoinRequest, *, gathering: bool) -> int:
        """How many hold a place that a newcomer might want; none for who has one already.

        While members gather, those who have not come back yet hold none.
        """
        if request.member_id in self._members or request.instance_id in self._static:
            return 0
        promised = len(self._promised) - (request.member_id in self._promised)
        return promised + (len(self.joining()) if gathering else len(self._members))

    # Protocols.

    def share_a_protocol_with(self, request: JoinRequest) -> bool:
        """Whether some protocol is known to all, and of the type that all are of."""
        others = [member.request for member in self if member.member_id != request.member_id]
        common = set(request.protocols).intersection(*(other.protocols for other in others))
        return (
            bool(common)
            and bool(request.protocol_type)
            and all(other.protocol_type == request.protocol_type for other in others)
        )

    def vote(self) -> str:
        """Each member's vote goes to its most wanted protocol among those all know."""
        ballots = [member.request.protocols for member in self._members.values()]
        common = set(ballots[0]).intersection(*ballots)
        votes = Counter(next(name for name in ballot if name in common) for ballot in ballots)
        return votes.most_common(1)[0][0]

    def metadata(self, protocol: str) -> Mapping[str, tuple[str | None, bytes]]:
        """What the leader must know to assign: by member id, its instance id and its metadata."""
        return {
            member_id: (member.request.instance_id, member.request.protocols[protocol])
            for member_id, member in self._members.items()
        }

    # Ids given out (KIP-394).

    @property
    def promised(self) -> int:
        return len(self._promised)

    def promise(self, member_id: str, until: float) -> None:
        """Expect somebody to join under this id."""
        self._promised[member_id] = until

    def redeem(self, member_id: str) -> bool:
        """Whether the id was promised; it no longer is."""
        return self._promised.pop(member_id, None) is not None

    # Time.

    def drop_broken_promises(self, now: float) -> None:
        self._promised = {member_id: until for member_id, until in self._promised.items() if until > now}

    def expired(self, now: float) -> list[Member]:
        """Members whose session has ended."""
        return [member for member in self if member.expires_at is not None and member.expires_at <= now]

    def deadlines(self) -> list[float]:
        """When the next of these may happen."""
        sessions = [member.expires_at for member in self._members.values()]
        return [*self._promised.values(), *(at for at in sessions if at is not None)]

    def rebalance_timeout(self) -> float:
        return max((member.request.rebalance_timeout for member in self._members.values()), default=0.0)


def renewed(member: Member, request: JoinRequest, now: float) -> bool:
    """Take a member's new words; whether they are the same as before, so that its assignment may stand."""
    unchanged = dict(member.request.protocols) == dict(request.protocols)
    member.request, member.last_seen = replace(request, instance_id=member.request.instance_id), now
    return unchanged
