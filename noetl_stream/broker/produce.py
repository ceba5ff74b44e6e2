"""Produce: check, append, and acknowledge as the producer asked."""

from __future__ import annotations

from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transactions import Transactions
from noetl_stream.commitlog.batch import check_produced
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.refusal import ConnectionRefused, Refused

_NO_ACK, _LEADER, _ALL = 0, 1, -1


class Produce:
    """acks=all answers when a sync covers the records, acks=1 when the kernel has them, acks=0 never."""

    def __init__(self, topics: Topics, transactions: Transactions) -> None:
        self._topics, self._transactions = topics, transactions

    async def produce(self, request: Request) -> Fields | None:
        body = request.body
        written: dict[Partition, None] = {}
        responses = [
            {
                "name": topic.name,
                "partition_responses": [
                    self._append(topic.name, sent, body.acks, written) for sent in topic.partition_data
                ],
            }
            for topic in body.topic_data
        ]
        if body.acks == _NO_ACK:
            _close_on_errors(responses)
            return None
        if body.acks == _ALL:
            for partition in written:
                await partition.durable()
        return {"responses": responses}

    def _append(self, topic: str, sent: Any, acks: int, written: dict[Partition, None]) -> Fields:
        try:
            partition, base_offset = self._append_checked(topic, sent, acks)
        except Refused as refused:
            return _answer(sent.index, refused.code, reason=refused.reason)
        except OSError as error:
            return _answer(
                sent.index, ErrorCode.kafka_storage_error, reason=f"the disk took nothing: {error}"
            )
        written[partition] = None
        return _answer(
            sent.index, ErrorCode.none, base_offset=base_offset, start_offset=partition.start_offset
        )

    def _append_checked(self, topic: str, sent: Any, acks: int) -> tuple[Partition, int]:
        if acks not in (_NO_ACK, _LEADER, _ALL):
            raise Refused(ErrorCode.invalid_required_acks, f"acks is -1, 0 or 1, not {acks}")
        partition = self._topics.partition(topic, sent.index)
        header = check_produced(sent.records, self._topics.topic(topic).max_message_bytes)
        if header.transactional:
            self._transactions.check_append(header, topic, sent.index)
        return partition, partition.append(header, sent.records)


def _answer(
    index: int, code: ErrorCode, *, base_offset: int = -1, start_offset: int = -1, reason: str | None = None
) -> Fields:
    return {
        "index": index,
        "error_code": code,
        "base_offset": base_offset,
        "log_append_time": None,
        "log_start_offset": start_offset,
        "record_errors": (),
        "error_message": reason,
    }


def _close_on_errors(responses: list[dict[str, Any]]) -> None:
    """acks=0 has no response; Kafka closes the connection to tell of an error."""
    for topic in responses:
        for partition in topic["partition_responses"]:
            if partition["error_code"] is not ErrorCode.none:
                raise ConnectionRefused(
                    f"a produce with acks=0 to {topic['name']}/{partition['index']} failed: "
                    f"{partition['error_message']}"
                )
