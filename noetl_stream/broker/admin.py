"""The requests of administrators and of every client's first minute: metadata, topics and their configuration."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.offsets import Offsets
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topic, Topics
from noetl_stream.commitlog.refusal import Refused

NODE_ID = 1
CLUSTER_ID = "noetl-stream-embedded"


class Admin:
    """Answers Metadata, FindCoordinator and everything that changes topics."""

    def __init__(self, topics: Topics, offsets: Offsets, *, auto_create: bool) -> None:
        self._topics, self._offsets, self._auto_create = topics, offsets, auto_create

    # Finding one's way.

    async def metadata(self, request: Request) -> Fields:
        body = request.body
        everything = body.topics is None or (request.version == 0 and not body.topics)
        if everything:
            topics = [_topic_metadata(topic) for topic in self._topics]
        else:
            may_create = self._auto_create and getattr(body, "allow_auto_topic_creation", True)
            topics = [await self._named_topic(wanted.name, may_create=may_create) for wanted in body.topics]
        return {
            "brokers": [{**_this_broker(request), "rack": None}],
            "cluster_id": CLUSTER_ID,
            "controller_id": NODE_ID,
            "topics": topics,
        }

    async def _named_topic(self, name: str, *, may_create: bool) -> Fields:
        try:
            topic = await self._topics.ensure(name) if may_create else self._topics.topic(name)
        except Refused as refused:
            return {"error_code": refused.code, "name": name, "is_internal": False, "partitions": []}
        return _topic_metadata(topic)

    async def find_coordinator(self, request: Request) -> Fields:
        return {"error_code": ErrorCode.none, "error_message": None, **_this_broker(request)}

    # Topics.

    async def create_topics(self, request: Request) -> Fields:
        body = request.body
        return {"topics": [await self._create_topic(wanted, body.validate_only) for wanted in body.topics]}

    async def _create_topic(self, wanted: Any, validate_only: bool) -> Fields:
        count = len(wanted.assignments) if wanted.assignments else wanted.num_partitions
        configs = {config.name: config.value for config in wanted.configs}
        code, reason = ErrorCode.none, None
        try:
            if wanted.replication_factor not in (-1, 1) and not wanted.assignments:
                raise Refused(
                    ErrorCode.invalid_replication_factor, "There is one broker: the replication factor is 1."
                )
            if validate_only:
                count = self._topics.check_new(wanted.name, count, configs)
            else:
                count = (await self._topics.create(wanted.name, count, configs)).partition_count
        except Refused as refused:
            code, reason = refused.code, refused.reason
        return {
            "name": wanted.name,
            "error_code": code,
            "error_message": reason,
            "num_partitions": count if code is ErrorCode.none else -1,
            "replication_factor": 1 if code is ErrorCode.none else -1,
            "configs": None,
        }

    async def delete_topics(self, request: Request) -> Fields:
        responses = []
        for name in request.body.topic_names:
            code, reason = await _outcome(self._delete_topic(name))
            responses.append({"name": name, "error_code": code, "error_message": reason})
        return {"responses": responses}

    async def _delete_topic(self, name: str) -> None:
        await self._topics.delete(name)
        self._offsets.forget_topic(name)

    async def create_partitions(self, request: Request) -> Fields:
        results = []
        for wanted in request.body.topics:
            code, reason = await _outcome(
                self._topics.expand(wanted.name, wanted.count, validate_only=request.body.validate_only)
            )
            results.append({"name": wanted.name, "error_code": code, "error_message": reason})
        return {"results": results}

    async def delete_records(self, request: Request) -> Fields:
        topics = []
        for topic in request.body.topics:
            partitions = [
                await self._delete_records(topic.name, wanted.partition_index, wanted.offset)
                for wanted in topic.partitions
            ]
            topics.append({"name": topic.name, "partitions": partitions})
        return {"topics": topics}

    async def _delete_records(self, topic: str, index: int, offset: int) -> Fields:
        code, start = ErrorCode.none, -1
        try:
            start = await self._topics.delete_records(topic, index, offset)
        except Refused as refused:
            code = refused.code
        return {"partition_index": index, "low_watermark": start, "error_code": code}


async def _outcome(change: Awaitable[None]) -> tuple[ErrorCode, str | None]:
    """What the protocol says of a change: its error code and sentence."""
    try:
        await change
    except Refused as refused:
        return refused.code, refused.reason
    return ErrorCode.none, None


def _this_broker(request: Request) -> Fields:
    """The broker at the very address this client reached it, so that binding to every interface works too."""
    connection = request.connection
    return {"node_id": NODE_ID, "host": connection.broker_host, "port": connection.broker_port}


def _topic_metadata(topic: Topic) -> Fields:
    return {
        "error_code": ErrorCode.none,
        "name": topic.name,
        "is_internal": False,
        "partitions": [_partition_metadata(index) for index in range(len(topic.partitions))],
    }


def _partition_metadata(index: int) -> Mapping[str, Any]:
    return {
        "error_code": ErrorCode.none,
        "partition_index": index,
        "leader_id": NODE_ID,
        "leader_epoch": 0,
        "replica_nodes": (NODE_ID,),
        "isr_nodes": (NODE_ID,),
        "offline_replicas": (),
    }
