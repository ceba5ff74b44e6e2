"""Whose clock a topic's records carry: the producer's, within bounds, or the broker's at the time of appending."""

from __future__ import annotations

from kio.schema.errors import ErrorCode

from noetl_stream.broker.topic import Topic
from noetl_stream.broker.topic_config import FOREVER
from noetl_stream.commitlog.batch import BatchHeader
from noetl_stream.commitlog.record_codec import MalformedRecords, read_records
from noetl_stream.commitlog.refusal import Refused


def carries_append_time(topic: Topic) -> bool:
    return topic.config("message.timestamp.type") == "LogAppendTime"


def check_create_times(topic: Topic, header: BatchHeader, batch: bytes, now: int) -> None:
    """Check a producer's own timestamps against the topic's bounds. All times are in milliseconds.

    Raises:
        Refused: a record is from too far ahead or too long ago, or cannot be read to find out.
    """
    ahead = header.max_timestamp - now
    if ahead > int(topic.config("message.timestamp.after.max.ms")):
        raise Refused(
            ErrorCode.invalid_timestamp, f"A record's timestamp is {ahead} ms ahead of the broker's."
        )
    oldest_allowed = topic.config("message.timestamp.before.max.ms")
    if oldest_allowed == FOREVER:
        return  # the common case needs no look at the records
    behind = now - _earliest(header, batch)
    if behind > int(oldest_allowed):
        raise Refused(
            ErrorCode.invalid_timestamp, f"A record's timestamp is {behind} ms behind the broker's."
        )


def _earliest(header: BatchHeader, batch: bytes) -> int:
    try:
        return header.base_timestamp + min(record.timestamp_delta for record in read_records(header, batch))
    except MalformedRecords as error:
        raise Refused(ErrorCode.corrupt_message, f"{error}") from error
