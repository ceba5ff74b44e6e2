"""The requests of a group's members, in the protocol's terms: join, sync, heartbeat, leave."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Generic, TypeVar

from kio.schema.errors import ErrorCode

from noetl_stream.broker.group import Group, MemberIdRequired
from noetl_stream.broker.groups import Groups
from noetl_stream.broker.member import Joined, JoinRequest
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.commitlog.refusal import Refused

_KNOWS_MEMBER_ID_REQUIRED = 4
_KNOWS_SKIP_ASSIGNMENT = 9
_LEAVES_IN_BATCHES = 3

_Outcome = TypeVar("_Outcome")


class GroupRequests:
    """Answers JoinGroup, SyncGroup, Heartbeat and LeaveGroup."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def join(self, request: Request) -> Fields:
        member_id = request.body.member_id
        try:
            return _joined(await self._join(request))
        except MemberIdRequired as required:
            return _not_joined(required.code, required.member_id)
        except Refused as refused:
            return _not_joined(refused.code, member_id)

    async def _join(self, request: Request) -> Joined:
        join = _join_request(request)
        group_id = request.body.group_id
        group = self._groups.joined_by(group_id, join)
        waiting = _Waiting[Joined]()
        with self._groups.changing(group_id, group):
            group.join(join, self._groups.now(), waiting.answer)
        return await waiting.outcome()

    async def sync(self, request: Request) -> Fields:
        body = request.body
        try:
            group = self._groups.existing(body.group_id)
            assignment = await self._sync(group, body)
        except Refused as refused:
            return {"error_code": refused.code, "assignment": b""}
        return {
            "error_code": ErrorCode.none,
            "protocol_type": group.protocol_type,
            "protocol_name": group.protocol,
            "assignment": assignment,
        }

    async def _sync(self, group: Group, body: Any) -> bytes:
        now = self._groups.now()
        member = group.current(body.member_id, _instance(body), body.generation_id, now)
        _require_protocol(group, body)
        assignments = {given.member_id: given.assignment for given in body.assignments}
        waiting = _Waiting[bytes]()
        with self._groups.changing(body.group_id, group):
            group.sync(member, assignments, now, waiting.answer)
        return await waiting.outcome()

    async def heartbeat(self, request: Request) -> Fields:
        body = request.body
        try:
            group = self._groups.existing(body.group_id)
            group.current(body.member_id, _instance(body), body.generation_id, self._groups.now())
            group.heartbeat()
        except Refused as refused:
            return {"error_code": refused.code}
        return {"error_code": ErrorCode.none}

    async def leave(self, request: Request) -> Fields:
        body = request.body
        try:
            group = self._groups.existing(body.group_id)
        except Refused as refused:
            return {"error_code": refused.code, "members": []}
        if request.version >= _LEAVES_IN_BATCHES:
            gone = [self._leave(body.group_id, group, who.member_id, _instance(who)) for who in body.members]
            return {"error_code": ErrorCode.none, "members": gone}
        return {"error_code": self._leave(body.group_id, group, body.member_id, None)["error_code"]}

    def _leave(self, group_id: str, group: Group, member_id: str, instance_id: str | None) -> Fields:
        code = ErrorCode.none
        try:
            with self._groups.changing(group_id, group):
                group.leave(member_id, instance_id, self._groups.now())
        except Refused as refused:
            code = refused.code
        return {"member_id": member_id, "group_instance_id": instance_id, "error_code": code}


class _Waiting(Generic[_Outcome]):
    """An answer that may come later; a refusal is raised to whoever waits."""

    def __init__(self) -> None:
        self._future: asyncio.Future[_Outcome | Refused] = asyncio.get_running_loop().create_future()

    def answer(self, outcome: _Outcome | Refused) -> None:
        if not self._future.done():  # the client's connection may have ended
            self._future.set_result(outcome)

    async def outcome(self) -> _Outcome:
        outcome = await self._future
        if isinstance(outcome, Refused):
            raise outcome
        return outcome


def _instance(body: Any) -> str | None:
    instance_id: str | None = getattr(body, "group_instance_id", None)
    return instance_id


def _require_protocol(group: Group, body: Any) -> None:
    """Newer clients say which protocol they were told (KIP-559)."""
    for said, true in (("protocol_type", group.protocol_type), ("protocol_name", group.protocol)):
        if getattr(body, said, None) not in (None, true):
            raise Refused(ErrorCode.inconsistent_group_protocol)


def _join_request(request: Request) -> JoinRequest:
    body = request.body
    session_timeout = body.session_timeout.total_seconds()
    rebalance_timeout = getattr(body, "rebalance_timeout", body.session_timeout).total_seconds()
    instance_id = _instance(body)
    return JoinRequest(
        member_id=body.member_id,
        new_member_id=f"{instance_id or request.client_id}-{uuid.uuid4()}",
        instance_id=instance_id,
        client_id=request.client_id,
        client_host=request.connection.client_host,
        session_timeout=session_timeout,
        rebalance_timeout=rebalance_timeout if rebalance_timeout >= 0 else session_timeout,
        protocol_type=body.protocol_type,
        protocols={protocol.name: protocol.metadata for protocol in body.protocols},
        must_know_its_id=request.version >= _KNOWS_MEMBER_ID_REQUIRED,
        may_skip_assignment=request.version >= _KNOWS_SKIP_ASSIGNMENT,
    )


def _joined(joined: Joined) -> Fields:
    return {
        "error_code": ErrorCode.none,
        "generation_id": joined.generation,
        "protocol_type": joined.protocol_type,
        "protocol_name": joined.protocol,
        "leader": joined.leader,
        "skip_assignment": joined.skip_assignment,
        "member_id": joined.member_id,
        "members": [
            {"member_id": member_id, "group_instance_id": instance_id, "metadata": metadata}
            for member_id, (instance_id, metadata) in joined.metadata.items()
        ],
    }


def _not_joined(code: ErrorCode, member_id: str) -> Fields:
    return {
        "error_code": code,
        "generation_id": -1,
        "protocol_name": "",
        "leader": "",
        "member_id": member_id,
        "members": [],
    }
