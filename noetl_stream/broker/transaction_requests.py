"""The requests of idempotent and transactional producers, in the protocol's terms."""

from __future__ import annotations

from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.groups import Groups
from noetl_stream.broker.offset_requests import read_positions
from noetl_stream.broker.offsets import TopicPartition
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transactions import Transactions
from noetl_stream.commitlog.refusal import Refused, storing

_KNOWS_PRODUCER_FENCED = 2
_KNOWS_PRODUCER_FENCED_ON_INIT = 4
_UNTIL_THERE_IS_ROOM = ErrorCode.coordinator_not_available
"""A full disk is answered so: clients ask again, as long as their own timeouts let them."""


class TransactionRequests:
    """Answers InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit and EndTxn."""

    def __init__(
        self, topics: Topics, groups: Groups, transactions: Transactions, settings: BrokerSettings
    ) -> None:
        self._topics, self._groups, self._transactions = topics, groups, transactions
        self._longest_ms = int(settings.max_transaction_timeout * 1000)

    async def init_producer_id(self, request: Request) -> Fields:
        try:
            with storing(_UNTIL_THERE_IS_ROOM):
                producer_id, epoch = await self._begin(request.body)
        except Refused as refused:
            code = _code(refused, request, since=_KNOWS_PRODUCER_FENCED_ON_INIT)
            return {"error_code": code, "producer_id": -1, "producer_epoch": -1}
        return {"error_code": ErrorCode.none, "producer_id": producer_id, "producer_epoch": epoch}

    async def _begin(self, body: Any) -> tuple[int, int]:
        """An idempotent producer gets a new id whatever it had; a transactional one the next epoch."""
        if body.transactional_id is None:
            return await self._transactions.producer_ids.new(), 0
        if not body.transactional_id:
            raise Refused(ErrorCode.invalid_request)
        timeout_ms = int(body.transaction_timeout.total_seconds() * 1000)
        if not 0 < timeout_ms <= self._longest_ms:
            raise Refused(ErrorCode.invalid_transaction_timeout)
        begun = await self._transactions.begin_producer(body.transactional_id, timeout_ms, _former(body))
        return begun.identity

    async def add_partitions(self, request: Request) -> Fields:
        body = request.body
        topics = body.v3_and_below_topics
        wanted = [TopicPartition(topic.name, index) for topic in topics for index in topic.partitions]
        producer = (body.v3_and_below_producer_id, body.v3_and_below_producer_epoch)
        try:
            with storing(_UNTIL_THERE_IS_ROOM):
                codes = await self._add(body.v3_and_below_transactional_id, producer, wanted)
        except Refused as refused:
            codes = dict.fromkeys(wanted, _code(refused, request, since=_KNOWS_PRODUCER_FENCED))
        return {
            "results_by_topic_v3_and_below": [
                {
                    "name": topic.name,
                    "results_by_partition": [
                        {
                            "partition_index": index,
                            "partition_error_code": codes[TopicPartition(topic.name, index)],
                        }
                        for index in topic.partitions
                    ],
                }
                for topic in topics
            ]
        }

    async def _add(
        self, transactional_id: str, producer: tuple[int, int], wanted: list[TopicPartition]
    ) -> dict[TopicPartition, ErrorCode]:
        """All of them or none."""
        refused = {at: code for at in wanted if (code := self._refusal(at)) is not ErrorCode.none}
        if refused:
            return {at: refused.get(at, ErrorCode.operation_not_attempted) for at in wanted}
        await self._transactions.add(transactional_id, producer, wanted)
        return dict.fromkeys(wanted, ErrorCode.none)

    def _refusal(self, at: TopicPartition) -> ErrorCode:
        try:
            self._topics.partition(*at)
        except Refused as refused:
            return refused.code
        return ErrorCode.none

    async def add_offsets(self, request: Request) -> Fields:
        body = request.body
        try:
            with storing(_UNTIL_THERE_IS_ROOM):
                await self._transactions.add(body.transactional_id, _producer(body), ())
        except Refused as refused:
            return {"error_code": _code(refused, request, since=_KNOWS_PRODUCER_FENCED)}
        return {"error_code": ErrorCode.none}

    async def commit_offsets(self, request: Request) -> Fields:
        body = request.body
        try:
            self._check_group(body)
            positions, outcomes = read_positions(body, self._topics)
            producer = _producer(body)
            with storing(_UNTIL_THERE_IS_ROOM):
                await self._transactions.add_offsets(
                    body.transactional_id, producer, body.group_id, positions
                )
        except Refused as refused:
            code = _code(refused, request, since=_KNOWS_PRODUCER_FENCED)
            _, outcomes = read_positions(body, self._topics, code)
        return {"topics": outcomes}

    def _check_group(self, body: Any) -> None:
        """Older clients do not say which member they are; newer ones are fenced by their generation (KIP-447)."""
        instance_id = getattr(body, "group_instance_id", None)
        member_id, generation = getattr(body, "member_id", ""), getattr(body, "generation_id", -1)
        try:
            self._groups.check_commit(body.group_id, member_id, instance_id, generation, in_transaction=True)
        except Refused as refused:
            unknown = refused.code is ErrorCode.group_id_not_found
            raise Refused(ErrorCode.illegal_generation if unknown else refused.code) from refused

    async def end(self, request: Request) -> Fields:
        body = request.body
        try:
            with storing(_UNTIL_THERE_IS_ROOM):
                await self._transactions.end(body.transactional_id, _producer(body), committed=body.committed)
        except Refused as refused:
            return {"error_code": _code(refused, request, since=_KNOWS_PRODUCER_FENCED)}
        return {"error_code": ErrorCode.none}


def _producer(body: Any) -> tuple[int, int]:
    return body.producer_id, body.producer_epoch


def _former(body: Any) -> tuple[int, int] | None:
    """Who a producer is that renews its epoch (KIP-360)."""
    return _producer(body) if getattr(body, "producer_id", -1) >= 0 else None


def _code(refused: Refused, request: Request, *, since: int) -> ErrorCode:
    """Clients from before `producer_fenced` know it as an invalid epoch (KIP-360, KIP-588)."""
    if refused.code is ErrorCode.producer_fenced and request.version < since:
        return ErrorCode.invalid_producer_epoch
    return refused.code
