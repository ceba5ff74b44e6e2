"""The group coordinator: one state machine per group, one timer for its next deadline, and the requests about them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.group import Group, GroupState, MemberIdRequired
from noetl_stream.broker.member import Joined, JoinRequest
from noetl_stream.broker.offsets import Offsets
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.commitlog.refusal import Refused

_KNOWS_MEMBER_ID_REQUIRED = 4
_KNOWS_SKIP_ASSIGNMENT = 9
_LEAVES_IN_BATCHES = 3
_CONSUMER = "consumer"
_DEAD = "Dead"


class Groups:
    """Memberships live in memory: after a restart of the broker every member joins again."""

    def __init__(self, settings: BrokerSettings, offsets: Offsets) -> None:
        self._settings, self._offsets = settings, offsets
        self._groups: dict[str, Group] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._now: Callable[[], float] = asyncio.get_running_loop().time

    def find(self, group_id: str) -> Group | None:
        return self._groups.get(group_id)

    def check_commit(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> None:
        """Raises Refused if such a member may not commit."""
        group = self._groups.get(group_id)
        if group is None and (generation >= 0 or member_id):
            raise Refused(ErrorCode.unknown_member_id)
        if group is not None:
            group.check_commit(member_id, instance_id, generation, self._now())

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    # Membership.

    async def join(self, request: Request) -> Fields:
        body = request.body
        try:
            outcome = await self._join(request)
        except MemberIdRequired as required:
            return _not_joined(required.code, required.member_id)
        except Refused as refused:
            return _not_joined(refused.code, body.member_id)
        return _not_joined(outcome.code, body.member_id) if isinstance(outcome, Refused) else _joined(outcome)

    async def _join(self, request: Request) -> Joined | Refused:
        group_id = request.body.group_id
        join = _join_request(request)
        lowest, highest = self._settings.min_session_timeout, self._settings.max_session_timeout
        if not group_id:
            raise Refused(ErrorCode.invalid_group_id)
        if not lowest <= join.session_timeout <= highest:
            raise Refused(ErrorCode.invalid_session_timeout)
        group = self._groups.get(group_id)
        if group is None:
            if join.member_id:
                raise Refused(ErrorCode.unknown_member_id)
            group = self._groups[group_id] = Group(initial_delay=self._settings.initial_rebalance_delay)
        try:
            waiting = group.join(join, self._now())
        finally:
            self._arm(group_id, group)
        return await waiting

    async def sync(self, request: Request) -> Fields:
        body = request.body
        try:
            group = self._existing(body.group_id)
            assignments = {given.member_id: given.assignment for given in body.assignments}
            waiting = group.sync(
                body.member_id, _instance(body), body.generation_id, assignments, self._now()
            )
            self._arm(body.group_id, group)
            outcome = await waiting
        except Refused as refused:
            outcome = refused
        if isinstance(outcome, Refused):
            return {"error_code": outcome.code, "assignment": b""}
        return {
            "error_code": ErrorCode.none,
            "protocol_type": group.protocol_type,
            "protocol_name": group.protocol,
            "assignment": outcome,
        }

    async def heartbeat(self, request: Request) -> Fields:
        body = request.body
        try:
            group = self._existing(body.group_id)
            group.heartbeat(body.member_id, _instance(body), body.generation_id, self._now())
        except Refused as refused:
            return {"error_code": refused.code}
        return {"error_code": ErrorCode.none}

    async def leave(self, request: Request) -> Fields:
        body = request.body
        if request.version >= _LEAVES_IN_BATCHES:
            members = [
                self._leave(body.group_id, gone.member_id, gone.group_instance_id) for gone in body.members
            ]
            return {"error_code": ErrorCode.none, "members": members}
        return {"error_code": self._leave(body.group_id, body.member_id, None)["error_code"]}

    def _leave(self, group_id: str, member_id: str, instance_id: str | None) -> Fields:
        code = ErrorCode.none
        try:
            group = self._existing(group_id)
            group.leave(member_id, instance_id, self._now())
            self._arm(group_id, group)
        except Refused as refused:
            code = refused.code
        return {"member_id": member_id, "group_instance_id": instance_id, "error_code": code}

    def _existing(self, group_id: str) -> Group:
        group = self._groups.get(group_id)
        if group is None:
            raise Refused(ErrorCode.unknown_member_id)
        return group

    # Time.

    def _arm(self, group_id: str, group: Group) -> None:
        """Heartbeats only move deadlines later, so a timer that rings early just looks again."""
        timer = self._timers.pop(group_id, None)
        if timer is not None:
            timer.cancel()
        if group.deadline is not None:
            loop = asyncio.get_running_loop()
            self._timers[group_id] = loop.call_at(group.deadline, self._expire, group_id, group)

    def _expire(self, group_id: str, group: Group) -> None:
        group.expire(self._now())
        self._arm(group_id, group)

    # Administration.

    async def describe(self, request: Request) -> Fields:
        return {"groups": [self._description(group_id) for group_id in request.body.groups]}

    def _description(self, group_id: str) -> Fields:
        group = self._groups.get(group_id)
        return {
            "error_code": ErrorCode.none,
            "group_id": group_id,
            "group_state": self._state(group_id),
            "protocol_type": group.protocol_type if group is not None else "",
            "protocol_data": group.protocol if group is not None else "",
            "members": _members(group) if group is not None else [],
        }

    async def list(self, request: Request) -> Fields:
        wanted = {state.lower() for state in getattr(request.body, "states_filter", ())}
        group_ids = dict.fromkeys((*self._groups, *self._offsets.groups()))
        groups = [
            {
                "group_id": group_id,
                "protocol_type": self._groups[group_id].protocol_type
                if group_id in self._groups
                else _CONSUMER,
                "group_state": self._state(group_id),
            }
            for group_id in group_ids
            if not wanted or self._state(group_id).lower() in wanted
        ]
        return {"error_code": ErrorCode.none, "groups": groups}

    async def delete(self, request: Request) -> Fields:
        results = [
            {"group_id": group_id, "error_code": await self._delete(group_id)}
            for group_id in request.body.groups_names
        ]
        return {"results": results}

    async def _delete(self, group_id: str) -> ErrorCode:
        group = self._groups.get(group_id)
        if group is None and not self._offsets.of(group_id):
            return ErrorCode.group_id_not_found
        if group is not None and group.state is not GroupState.EMPTY:
            return ErrorCode.non_empty_group
        self._groups.pop(group_id, None)
        timer = self._timers.pop(group_id, None)
        if timer is not None:
            timer.cancel()
        await self._offsets.forget(group_id)
        return ErrorCode.none

    def _state(self, group_id: str) -> str:
        group = self._groups.get(group_id)
        if group is not None:
            return group.state
        return GroupState.EMPTY if self._offsets.of(group_id) else _DEAD


def _instance(body: Any) -> str | None:
    instance_id: str | None = getattr(body, "group_instance_id", None)
    return instance_id


def _join_request(request: Request) -> JoinRequest:
    body = request.body
    session_timeout = body.session_timeout.total_seconds()
    rebalance_timeout = getattr(body, "rebalance_timeout", body.session_timeout).total_seconds()
    return JoinRequest(
        member_id=body.member_id,
        instance_id=_instance(body),
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


def _members(group: Group) -> list[Fields]:
    return [
        {
            "member_id": member.member_id,
            "group_instance_id": member.request.instance_id,
            "client_id": member.request.client_id,
            "client_host": f"/{member.request.client_host}",
            "member_metadata": member.request.protocols.get(group.protocol, b""),
            "member_assignment": member.assignment,
        }
        for member in group.members
    ]
