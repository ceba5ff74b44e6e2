"""A member of a consumer group, and what is told to members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kio.schema.errors import ErrorCode

from noetl_stream.commitlog.refusal import Refused

Protocols = Mapping[str, bytes]
"""The assignment strategies a member knows, most wanted first, each with the member's metadata for it."""

NEW_MEMBER_WAITS = 300.0
"""Seconds a new member may wait to be let in. Its client, if it still lives, will have asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """What a client says on joining. Times are in seconds; `member_id` is empty for a new member."""

    member_id: str
    new_member_id: str
    """What a new member will be called."""
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout: float
    rebalance_timeout: float
    protocol_type: str
    protocols: Protocols
    must_know_its_id: bool
    """A new dynamic member is first given an id and must come again with it (KIP-394)."""
    may_skip_assignment: bool
    """A returning static leader can be told that it need not assign again (KIP-814)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A member's place in a generation. `metadata` by member id is given to the leader alone."""

    generation: int
    protocol_type: str
    protocol: str
    leader: str
    member_id: str
    skip_assignment: bool
    metadata: Mapping[str, tuple[str | None, bytes]]


JoinAnswer = Callable[[Joined | Refused], None]
SyncAnswer = Callable[[bytes | Refused], None]
"""Called once. Outcomes are values, never exceptions: the client that asked may be gone."""


@dataclass(slots=True, kw_only=True)
class Member:
    """A member as the group sees it. `last_seen` is on the caller's clock, in seconds."""

    member_id: str
    request: JoinRequest
    last_seen: float
    assignment: bytes = b""
    is_new: bool = True
    has_synced: bool = False
    joining: JoinAnswer | None = None
    syncing: SyncAnswer | None = None

    @property
    def is_static(self) -> bool:
        return self.request.instance_id is not None

    @property
    def is_joining(self) -> bool:
        return self.joining is not None

    @property
    def expires_at(self) -> float | None:
        """When the session ends, or None while the member itself waits for the group."""
        if self.joining is None and self.syncing is None:
            return self.last_seen + self.request.session_timeout
        return self.last_seen + NEW_MEMBER_WAITS if self.is_new else None

    def wait_for_join(self, answer: JoinAnswer) -> None:
        self.answer_join(Refused(ErrorCode.rebalance_in_progress))
        self.joining = answer

    def wait_for_sync(self, answer: SyncAnswer) -> None:
        self.answer_sync(Refused(ErrorCode.rebalance_in_progress))
        self.syncing = answer

    def answer_join(self, outcome: Joined | Refused) -> None:
        if self.joining is not None:
            self.joining(outcome)
        self.joining = None

    def answer_sync(self, outcome: bytes | Refused) -> None:
        if self.syncing is not None:
            self.syncing(outcome)
        self.syncing = None

    def answer_both(self, refused: Refused) -> None:
        self.answer_join(refused)
        self.answer_sync(refused)
