"""The requests of idempotent and transactional producers, in the protocol's terms."""

from __future__ import annotations

from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.groups import Groups
from noetl_stream.broker.offset_requests import check_metadata
from noetl_stream.broker.offsets import Position, TopicPartition
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transactions import Transactions
from noetl_stream.commitlog.refusal import Refused

_KNOWS_PRODUCER_FENCED = 2
_KNOWS_PRODUCER_FENCED_ON_INIT = 4


class TransactionRequests:
    """Answers InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit and EndTxn."""

    def __init__(self, topics: Topics, groups: Groups, transactions: Transactions) -> None:
        self._topics, self._groups, self._transactions = topics, groups, transactions

    async def init_producer_id(self, request: Request) -> Fields:
        body = request.body
        try:
            if body.transactional_id is None:
                return _producer(await self._transactions.new_producer_id(), 0)
            self._require_not_fenced(body)
            timeout_ms = int(body.transaction_timeout.total_seconds() * 1000)
            if not body.transactional_id:
                raise Refused(ErrorCode.invalid_request)
            if timeout_ms <= 0:
                raise Refused(ErrorCode.invalid_transaction_timeout)
            begun = await self._transactions.begin_producer(body.transactional_id, timeout_ms)
        except Refused as refused:
            code = _code(refused, request, since=_KNOWS_PRODUCER_FENCED_ON_INIT)
            return {"error_code": code, "producer_id": -1, "producer_epoch": -1}
        return _producer(begun.producer_id, begun.epoch)

    def _require_not_fenced(self, body: Any) -> None:
        """A producer that renews its epoch says who it is (KIP-360)."""
        producer_id = getattr(body, "producer_id", -1)
        if producer_id >= 0:
            self._transactions.current(body.transactional_id, producer_id, body.producer_epoch)

    async def add_partitions(self, request: Request) -> Fields:
        body = request.body
        topics = body.v3_and_below_topics
        wanted = [TopicPartition(topic.name, index) for topic in topics for index in topic.partitions]
        try:
            transaction = self._transactions.current(
                body.v3_and_below_transactional_id,
                body.v3_and_below_producer_id,
                body.v3_and_below_producer_epoch,
            )
            refused = {at: code for at in wanted if (code := self._refusal(at)) is not ErrorCode.none}
            if not refused:
                await self._transactions.add(transaction, body.v3_and_below_producer_epoch, wanted)
            others = ErrorCode.operation_not_attempted if refused else ErrorCode.none
            codes = {at: refused.get(at, others) for at in wanted}
        except Refused as error:
            codes = dict.fromkeys(wanted, _code(error, request, since=_KNOWS_PRODUCER_FENCED))
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

    def _refusal(self, at: TopicPartition) -> ErrorCode:
        try:
            self._topics.partition(*at)
        except Refused as refused:
            return refused.code
        return ErrorCode.none

    async def add_offsets(self, request: Request) -> Fields:
        body = request.body
        try:
            transaction = self._transactions.current(
                body.transactional_id, body.producer_id, body.producer_epoch
            )
            await self._transactions.add(transaction, body.producer_epoch, ())
        except Refused as refused:
            return {"error_code": _code(refused, request, since=_KNOWS_PRODUCER_FENCED)}
        return {"error_code": ErrorCode.none}

    async def commit_offsets(self, request: Request) -> Fields:
        body = request.body
        code = ErrorCode.none
        try:
            self._check_group(body)
            transaction = self._transactions.current(
                body.transactional_id, body.producer_id, body.producer_epoch
            )
            await self._transactions.add_offsets(
                transaction, body.producer_epoch, body.group_id, _positions(body)
            )
        except Refused as refused:
            code = _code(refused, request, since=_KNOWS_PRODUCER_FENCED)
        return {
            "topics": [
                {
                    "name": topic.name,
                    "partitions": [
                        {"partition_index": partition.partition_index, "error_code": code}
                        for partition in topic.partitions
                    ],
                }
                for topic in body.topics
            ]
        }

    def _check_group(self, body: Any) -> None:
        """Older clients do not say which member they are; newer ones are fenced by their generation (KIP-447)."""
        member_id = getattr(body, "member_id", "")
        generation = getattr(body, "generation_id", -1)
        if member_id or generation >= 0:
            instance_id = getattr(body, "group_instance_id", None)
            self._groups.check_commit(body.group_id, member_id, instance_id, generation)

    async def end(self, request: Request) -> Fields:
        body = request.body
        try:
            transaction = self._transactions.current(
                body.transactional_id, body.producer_id, body.producer_epoch
            )
            await self._transactions.end(transaction, body.producer_epoch, committed=body.committed)
        except Refused as refused:
            return {"error_code": _code(refused, request, since=_KNOWS_PRODUCER_FENCED)}
        return {"error_code": ErrorCode.none}


def _positions(body: Any) -> dict[TopicPartition, Position]:
    positions = {}
    for topic in body.topics:
        for partition in topic.partitions:
            metadata = check_metadata(partition.committed_metadata)
            at = TopicPartition(topic.name, partition.partition_index)
            positions[at] = Position(partition.committed_offset, metadata)
    return positions


def _producer(producer_id: int, epoch: int) -> Fields:
    return {"error_code": ErrorCode.none, "producer_id": producer_id, "producer_epoch": epoch}


def _code(refused: Refused, request: Request, *, since: int) -> ErrorCode:
    """Clients from before `producer_fenced` know it as an invalid epoch (KIP-360, KIP-588)."""
    if refused.code is ErrorCode.producer_fenced and request.version < since:
        return ErrorCode.invalid_producer_epoch
    return refused.code
