"""A member of a consumer group that says one thing after the other, right or wrong."""

from __future__ import annotations

import asyncio
import datetime
import struct
from dataclasses import dataclass
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.protocol import Fields
from tests.broker.client import RawClient

_AGAIN = {
    ErrorCode.coordinator_not_available,
    ErrorCode.coordinator_load_in_progress,
    ErrorCode.not_coordinator,
}
_SESSION = datetime.timedelta(seconds=10)


@dataclass(slots=True)
class RawMember:
    """Each method answers with the broker's error code. It stays in the group for as long as its session lasts."""

    client: RawClient
    group: str
    topics: tuple[str, ...] = ()
    instance_id: str | None = None
    protocol_type: str = "consumer"
    protocol: str = "range"
    said: bytes = b""
    """What it says besides the topics it wants."""
    member_id: str = ""
    generation: int = -1
    leader: str = ""
    assignment: bytes = b""

    async def enter(self) -> ErrorCode:
        """Join, and ask for its assignment; if it leads, everyone is assigned nothing."""
        code = await self.join()
        return await self.sync() if code is ErrorCode.none else code

    async def join(self) -> ErrorCode:
        """A new member is first given its id, then comes again with it."""
        answer = await self._join()
        if answer.error_code is ErrorCode.member_id_required:
            self.member_id = answer.member_id
            answer = await self._join()
        if answer.error_code is ErrorCode.none:
            self.member_id, self.generation = answer.member_id, answer.generation_id
            self.leader = answer.leader
        code: ErrorCode = answer.error_code
        return code

    async def _join(self) -> Any:
        metadata = struct.pack(">hi", 1, len(self.topics))
        metadata += b"".join(struct.pack(">h", len(topic)) + topic.encode() for topic in self.topics)
        fields = {
            "group_id": self.group,
            "session_timeout": _SESSION,
            "rebalance_timeout": _SESSION,
            "member_id": self.member_id,
            "group_instance_id": self.instance_id,
            "protocol_type": self.protocol_type,
            "protocols": [{"name": self.protocol, "metadata": metadata + b"\0\0\0\0" + self.said}],
            "reason": None,
        }
        return await self._ask(Api.JOIN_GROUP, 9, fields)

    async def sync(self, *, protocol: str | None = None) -> ErrorCode:
        agreed = {"protocol_type": self.protocol_type, "protocol_name": protocol or self.protocol}
        assignments = [{"member_id": self.member_id, "assignment": b"all"}] if self.leads else []
        answer = await self._ask(Api.SYNC_GROUP, 5, {**self._member, **agreed, "assignments": assignments})
        self.assignment = answer.assignment
        code: ErrorCode = answer.error_code
        return code

    @property
    def leads(self) -> bool:
        return self.member_id == self.leader

    async def heartbeat(self) -> ErrorCode:
        code: ErrorCode = (await self._ask(Api.HEARTBEAT, 4, self._member)).error_code
        return code

    async def commit(self, topic: str, offset: int, *, version: int = 8) -> ErrorCode:
        position = {"partition_index": 0, "committed_offset": offset, "committed_metadata": None}
        topics = [{"name": topic, "partitions": [position]}]
        fields = {**self._member, "generation_id_or_member_epoch": self.generation, "topics": topics}
        [answered] = (await self._ask(Api.OFFSET_COMMIT, version, fields)).topics
        code: ErrorCode = answered.partitions[0].error_code
        return code

    async def leave(self, *, by_instance: bool = False) -> ErrorCode:
        who = {"member_id": "" if by_instance else self.member_id, "group_instance_id": self.instance_id}
        fields = {"group_id": self.group, "members": [{**who, "reason": None}]}
        answer = await self._ask(Api.LEAVE_GROUP, 5, fields)
        if answer.error_code is not ErrorCode.none:
            return ErrorCode(answer.error_code)
        return ErrorCode(answer.members[0].error_code)

    @property
    def _member(self) -> Fields:
        return {
            "group_id": self.group,
            "member_id": self.member_id,
            "group_instance_id": self.instance_id,
            "generation_id": self.generation,
        }

    async def _ask(self, api: Api, version: int, fields: Fields) -> Any:
        """Apache Kafka must first make the topic of its positions."""
        async with asyncio.timeout(20):
            while True:
                answer = await self.client.call(api, version, fields)
                first = answer.topics[0].partitions[0] if api is Api.OFFSET_COMMIT else answer
                if first.error_code not in _AGAIN:
                    return answer
