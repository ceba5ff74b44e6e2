"""The requests that change topics: create, delete, add partitions, delete records."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.assignments import check_added, partition_count
from noetl_stream.broker.cleanup_policy import deletes_old_records
from noetl_stream.broker.config_requests import described_configs
from noetl_stream.broker.protocol import Fields, Request, outcome
from noetl_stream.broker.topics import Topics
from noetl_stream.commitlog.refusal import Refused, storing


class Admin:
    """Answers everything that changes topics. Each change is durable before it is answered."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def create_topics(self, request: Request) -> Fields:
        body = request.body
        named = Counter(wanted.name for wanted in body.topics)
        return {
            "topics": [
                await self._created(wanted, validate_only=body.validate_only, repeated=named[wanted.name] > 1)
                for wanted in body.topics
            ]
        }

    async def _created(self, wanted: Any, *, validate_only: bool, repeated: bool) -> Fields:
        try:
            if repeated:
                raise Refused(ErrorCode.invalid_request, "Duplicate topic name.")
            with storing(ErrorCode.kafka_storage_error):
                created = await self._create(wanted, validate_only=validate_only)
            code, reason = ErrorCode.none, None
        except Refused as refused:
            created = {"topic_id": None, "num_partitions": -1, "replication_factor": -1, "configs": []}
            code, reason = refused.code, refused.reason
        return {"name": wanted.name, "error_code": code, "error_message": reason, **created}

    async def _create(self, wanted: Any, *, validate_only: bool) -> Fields:
        configs = {config.name: config.value for config in wanted.configs}
        count = self._topics.check_new(wanted.name, partition_count(wanted), configs)
        topic = None if validate_only else await self._topics.create(wanted.name, count, configs)
        own = {name: value for name, value in configs.items() if value is not None}
        return {
            "topic_id": topic.id if topic is not None else None,
            "num_partitions": count,
            "replication_factor": 1,
            "configs": described_configs(own),
        }

    async def delete_topics(self, request: Request) -> Fields:
        body = request.body
        if hasattr(body, "topic_names"):
            return {"responses": [await self._deleted(name) for name in body.topic_names]}
        return {
            "responses": [
                await self._deleted(wanted.name)
                if wanted.name is not None
                else await self._deleted_by_id(wanted.topic_id)
                for wanted in body.topics
            ]
        }

    async def _deleted(self, name: str) -> Fields:
        topic = self._topics.find(name)
        code, reason = await outcome(self._topics.delete(name))
        topic_id = topic.id if topic is not None else None
        return {"name": name, "topic_id": topic_id, "error_code": code, "error_message": reason}

    async def _deleted_by_id(self, topic_id: Any) -> Fields:
        try:
            return await self._deleted(self._topics.by_id(topic_id).name)
        except Refused as refused:
            return {
                "name": None,
                "topic_id": topic_id,
                "error_code": refused.code,
                "error_message": refused.reason,
            }

    async def create_partitions(self, request: Request) -> Fields:
        body = request.body
        results = []
        for wanted in body.topics:
            code, reason = await outcome(self._expand(wanted, validate_only=body.validate_only))
            results.append({"name": wanted.name, "error_code": code, "error_message": reason})
        return {"results": results}

    async def _expand(self, wanted: Any, *, validate_only: bool) -> None:
        await self._topics.expand(wanted.name, wanted.count, validate_only=True)
        check_added(wanted.assignments, wanted.count - self._topics.topic(wanted.name).partition_count)
        if not validate_only:
            await self._topics.expand(wanted.name, wanted.count, validate_only=False)

    async def list_partition_reassignments(self, request: Request) -> Fields:
        """There is nowhere to move a replica to, so none is ever on its way."""
        return {"error_code": ErrorCode.none, "error_message": None, "topics": []}

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
            if not deletes_old_records(self._topics.topic(topic).config):
                raise Refused(ErrorCode.policy_violation)
            with storing(ErrorCode.kafka_storage_error):
                start = await self._topics.delete_records(topic, index, offset)
        except Refused as refused:
            code = refused.code
        return {"partition_index": index, "low_watermark": start, "error_code": code}
