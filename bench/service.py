"""A service's view: a request to Kafka, and the time until its reply. Nothing of ours runs on this side."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from noetl_stream.adapters.admin import ensure_topics
from noetl_stream.errors import NoetlError
from noetl_stream.wire.topics import Topic

REPLIES = "replies"


class Service:
    """Plain aiokafka, connected once."""

    def __init__(self, producer: AIOKafkaProducer, replies: AIOKafkaConsumer, requests: str) -> None:
        self._producer, self._replies, self._requests = producer, replies, requests

    @classmethod
    @asynccontextmanager
    async def connected(cls, bootstrap: str, requests: str) -> AsyncIterator[Self]:
        await ensure_topics(bootstrap, [Topic(name=REPLIES, partitions=1, replication=1)])
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
        replies = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
        await producer.start()
        await replies.start()
        replies.assign([TopicPartition(REPLIES, 0)])
        try:
            yield cls(producer, replies, requests)
        finally:
            await replies.stop()
            await producer.stop()

    async def timed(self, playbook: str) -> float:
        """Seconds from producing a request to reading its reply."""
        asked = uuid.uuid4().hex
        request = {"playbook": playbook, "idempotency_key": asked, "reply_to": REPLIES, "correlation": asked}
        began = time.perf_counter()
        await self._producer.send(self._requests, json.dumps(request).encode())
        async for record in self._replies:
            reply = json.loads(record.value)
            if reply["correlation"] == asked:
                break
        took = time.perf_counter() - began
        if reply["status"] != "COMPLETED":
            raise NoetlError(f"{playbook} ended {reply['status']}; its time would mean nothing")
        return took
