"""A member of a consumer group, and what is told to members."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from kio.schema.errors import ErrorCode

from noetl_stream.commitlog.refusal import Refused

Protocols = Mapping[str, bytes]
"""The assignment strategies a member knows, most wanted first, each with the member's metadata for it."""

_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """What a client says on joining. Times are in seconds; `member_id` is empty for a new member."""

    member_id: str
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

    def wants_the_same_as(self, other: JoinRequest) -> bool:
        """Whether the assignment need not change for the one to take the other's place."""
        return dict(self.protocols) == dict(other.protocols)


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


@dataclass(slots=True, kw_only=True)
class Member:
    """A member as the group sees it. `last_seen` is on the caller's clock, in seconds."""

    member_id: str
    request: JoinRequest
    last_seen: float
    assignment: bytes = b""
    joining: asyncio.Future[Joined | Refused] | None = None
    syncing: asyncio.Future[bytes | Refused] | None = None

    @property
    def is_static(self) -> bool:
        return self.request.instance_id is not None

    @property
    def is_joining(self) -> bool:
        return self.joining is not None

    @property
    def expires_at(self) -> float | None:
        """When the session ends, or None while the member itself waits for the group."""
        if self.joining is not None or self.syncing is not None:
            return None
        return self.last_seen + self.request.session_timeout

    def wait_for_join(self) -> asyncio.Future[Joined | Refused]:
        self.answer_join(Refused(ErrorCode.rebalance_in_progress))
        self.joining = asyncio.get_running_loop().create_future()
        return self.joining

    def wait_for_sync(self) -> asyncio.Future[bytes | Refused]:
        self.answer_sync(Refused(ErrorCode.rebalance_in_progress))
        self.syncing = asyncio.get_running_loop().create_future()
        return self.syncing

    def answer_join(self, outcome: Joined | Refused) -> None:
        _answer(self.joining, outcome)
        self.joining = None

    def answer_sync(self, outcome: bytes | Refused) -> None:
        _answer(self.syncing, outcome)
        self.syncing = None

    def answer_both(self, refused: Refused) -> None:
        self.answer_join(refused)
        self.answer_sync(refused)


def _answer(waiting: asyncio.Future[_Outcome] | None, outcome: _Outcome) -> None:
    """Outcomes are values, never exceptions: the client that asked may be gone."""
    if waiting is not None and not waiting.done():
        waiting.set_result(outcome)
