"""A transactional producer that says one thing after the other, right or wrong, in the version a test asks for."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.protocol import Fields
from tests.broker.client import RawClient
from tests.commitlog.samples import batch

_SECOND = datetime.timedelta(seconds=1)
_AGAIN = {
    ErrorCode.concurrent_transactions,
    ErrorCode.coordinator_not_available,
    ErrorCode.coordinator_load_in_progress,
    ErrorCode.not_coordinator,
}
"""What Apache Kafka says until it is done with something else; the embedded broker waits for that itself."""


@dataclass(slots=True)
class RawProducer:
    """Each method answers with the broker's error code. `identity` is the producer id and epoch it was given."""

    client: RawClient
    transactional_id: str = "x"
    topic: str = "t"
    identity: tuple[int, int] = (-1, -1)
    version: int | None = None
    """Of every request but Produce; the highest this suite knows if None."""
    _sequences: dict[int, int] = field(default_factory=dict)

    async def begin(
        self, *, timeout: datetime.timedelta = 60 * _SECOND, former: tuple[int, int] = (-1, -1)
    ) -> ErrorCode:
        """`former` is who a producer is that renews its epoch."""
        producer_id, epoch = former
        fields = {"transactional_id": self.transactional_id, "transaction_timeout": timeout}
        fields |= {"producer_id": producer_id, "producer_epoch": epoch}
        answer = await self._ask(Api.INIT_PRODUCER_ID, 4, fields)
        self.identity, self._sequences = (answer.producer_id, answer.producer_epoch), {}
        return _code(answer)

    async def add(self, *partitions: int) -> ErrorCode:
        names = {f"v3_and_below_{name}": value for name, value in self._producer.items()}
        topics = [{"name": self.topic, "partitions": partitions}]
        fields = {**names, "v3_and_below_topics": topics}
        return _code(await self._ask(Api.ADD_PARTITIONS_TO_TXN, 3, fields))

    async def send(self, partition: int, *values: bytes, transactional: bool = True) -> ErrorCode:
        producer_id, epoch = self.identity
        sequence = self._sequences.get(partition, 0)
        now = int(time.time() * 1000)
        records = batch(
            *values,
            producer_id=producer_id,
            epoch=epoch,
            sequence=sequence,
            timestamp=now,
            transactional=transactional,
        )
        topics = [{"name": self.topic, "partition_data": [{"index": partition, "records": records}]}]
        fields = {"acks": -1, "timeout": _SECOND, "topic_data": topics}
        answer = await self.client.call(
            Api.PRODUCE, 9, {**fields, "transactional_id": self.transactional_id if transactional else None}
        )
        if _code(answer) is ErrorCode.none:
            self._sequences[partition] = sequence + len(values)
        return _code(answer)

    async def add_group(self, group: str) -> ErrorCode:
        fields = {**self._producer, "group_id": group}
        return _code(await self._ask(Api.ADD_OFFSETS_TO_TXN, 3, fields))

    async def commit_offset(
        self, group: str, offset: int, *, partition: int = 0, member_id: str = "", generation: int = -1
    ) -> ErrorCode:
        committed = {"partition_index": partition, "committed_offset": offset, "committed_metadata": None}
        topics = [{"name": self.topic, "partitions": [committed]}]
        member = {"group_id": group, "member_id": member_id, "generation_id": generation}
        fields = {**self._producer, **member, "topics": topics}
        return _code(await self._ask(Api.TXN_OFFSET_COMMIT, 3, fields))

    async def end(self, *, committed: bool) -> ErrorCode:
        fields = {**self._producer, "committed": committed}
        return _code(await self._ask(Api.END_TXN, 3, fields))

    @property
    def _producer(self) -> Fields:
        producer_id, epoch = self.identity
        return {
            "transactional_id": self.transactional_id,
            "producer_id": producer_id,
            "producer_epoch": epoch,
        }

    async def _ask(self, api: Api, highest: int, fields: Fields) -> Any:
        version = highest if self.version is None else self.version
        async with asyncio.timeout(20):
            while True:
                answer = await self.client.call(api, version, fields)
                if not _AGAIN.intersection(codes_in(answer)):
                    return answer


def _code(answer: Any) -> ErrorCode:
    """The one error code of a response to a request about one thing."""
    [code] = set(codes_in(answer))
    return code


def codes_in(entity: Any) -> Iterable[ErrorCode]:
    """Every error code of a response, or of a part of one."""
    if isinstance(entity, ErrorCode):
        yield entity
    for part in entity if isinstance(entity, tuple) else ():
        yield from codes_in(part)
    for name in getattr(entity, "__dataclass_fields__", ()):
        yield from codes_in(getattr(entity, name))
