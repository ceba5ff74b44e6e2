"""Who belongs to a consumer group: members, the places of static ones, and ids given out but not used yet."""

from __future__ import annotations

from collections.abc import Iterator

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

    def static_id(self, instance_id: str | None) -> str | None:
        """The member id under which a static instance is here."""
        return self._static.get(instance_id or "")

    def add(self, member_id: str, request: JoinRequest, now: float) -> Member:
        member = Member(member_id=member_id, request=request, last_seen=now)
        self._members[member_id] = member
        if request.instance_id is not None:
            self._static[request.instance_id] = member_id
        return member

    def forget(self, member: Member, reason: ErrorCode = ErrorCode.unknown_member_id) -> None:
        """Remove a member, telling it why if it waits for an answer."""
        member.answer_both(Refused(reason))
        del self._members[member.member_id]
        if member.request.instance_id is not None:
            del self._static[member.request.instance_id]

    # Ids given out (KIP-394).

    @property
    def has_promised(self) -> bool:
        return bool(self._promised)

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
