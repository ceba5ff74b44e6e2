"""Produce: check, append, and acknowledge as the producer asked."""

from __future__ import annotations

from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.cleanup_policy import is_compacted
from noetl_stream.broker.clock import as_datetime, wall_clock
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.timestamps import carries_append_time, check_create_times
from noetl_stream.broker.topic import Topic
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transactions import Transactions
from noetl_stream.commitlog.batch import BatchHeader, check_produced, with_append_time
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.record_codec import MalformedRecords, read_records
from noetl_stream.commitlog.refusal import ConnectionRefused, Refused, storing

_NO_ACK, _LEADER, _ALL = 0, 1, -1


class Produce:
    """acks=all answers when a sync covers the records, acks=1 when the kernel has them, acks=0 never."""

    def __init__(self, topics: Topics, transactions: Transactions) -> None:
        self._topics, self._transactions = topics, transactions

    async def produce(self, request: Request) -> Fields | None:
        body = request.body
        written: dict[Partition, None] = {}
        responses = [self._append_all(body, topic, written) for topic in body.topic_data]
        if body.acks == _NO_ACK:
            _close_on_errors(responses)
            return None
        if body.acks == _ALL:
            for partition in written:
                await partition.durable()
        return {"responses": responses}

    def _append_all(self, body: Any, wanted: Any, written: dict[Partition, None]) -> dict[str, Any]:
        name, topic_id = getattr(wanted, "name", None), getattr(wanted, "topic_id", None)
        return {
            "name": name,
            "topic_id": topic_id,
            "partition_responses": [
                self._append(body, wanted, sent, written) for sent in wanted.partition_data
            ],
        }

    def _append(self, body: Any, wanted: Any, sent: Any, written: dict[Partition, None]) -> Fields:
        try:
            topic = self._topic(wanted)
            partition = self._topics.partition(topic.name, sent.index)
            with storing(ErrorCode.kafka_storage_error):
                answer = self._append_checked(body, topic, partition, sent)
        except Refused as refused:
            return _answer(sent.index, refused.code, reason=refused.reason)
        written[partition] = None
        return answer

    def _topic(self, wanted: Any) -> Topic:
        """Named by its name or, in the later versions, by its id."""
        if hasattr(wanted, "topic_id"):
            return self._topics.by_id(wanted.topic_id)
        return self._topics.topic(wanted.name)

    def _append_checked(self, body: Any, topic: Topic, partition: Partition, sent: Any) -> Fields:
        if body.acks not in (_NO_ACK, _LEADER, _ALL):
            raise Refused(ErrorCode.invalid_required_acks, f"acks is -1, 0 or 1, not {body.acks}")
        header = check_produced(sent.records, topic.max_message_bytes)
        if is_compacted(topic.config):
            _require_keys(header, sent.records)
        if header.transactional and body.transactional_id is None:
            raise Refused(ErrorCode.transactional_id_authorization_failed)
        if header.producer_id >= 0:
            self._transactions.check_append(header, topic.name, sent.index)
        batch, now = sent.records, wall_clock()
        if appended_now := carries_append_time(topic):
            batch = with_append_time(batch, now)
        else:
            check_create_times(topic, header, batch, now)
        return _answer(
            sent.index,
            ErrorCode.none,
            base_offset=partition.append(header, batch),
            start_offset=partition.start_offset,
            append_time=now if appended_now else None,
        )


def _require_keys(header: BatchHeader, batch: bytes) -> None:
    """Compaction could not keep a record without a key."""
    try:
        keys_present = all(record.key is not None for record in read_records(header, batch))
    except MalformedRecords as error:
        raise Refused(ErrorCode.corrupt_message, str(error)) from error
    if not keys_present:
        raise Refused(ErrorCode.invalid_record, "A compacted topic takes no record without a key.")


def _answer(
    index: int,
    code: ErrorCode,
    *,
    base_offset: int = -1,
    start_offset: int = -1,
    append_time: int | None = None,
    reason: str | None = None,
) -> Fields:
    return {
        "index": index,
        "error_code": code,
        "base_offset": base_offset,
        "log_append_time": as_datetime(append_time) if append_time is not None else None,
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
