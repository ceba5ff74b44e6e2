"""What could not be processed: the original bytes and headers, the reason, and where it stood."""

from __future__ import annotations

from noetl_stream.adapters.kafka_log import KafkaAppender
from noetl_stream.ports.log import Record
from noetl_stream.wire.letters import ORIGIN_OFFSET, ORIGIN_PARTITION, ORIGIN_TOPIC, REASON


class DeadLetters:
    """Sets records aside on one topic."""

    def __init__(self, appender: KafkaAppender, topic: str) -> None:
        self._appender, self._topic = appender, topic

    async def put(self, record: Record, reason: str) -> int:
        """Append the record with its reason; returns the dead letter's offset. Raises like `Appender.append`.

        A record may be set aside twice, after a crash: readers tell by its origin. Where it carried headers of these
        names already, ours are the last.
        """
        ours = {
            REASON: reason,
            ORIGIN_TOPIC: record.topic,
            ORIGIN_PARTITION: record.partition,
            ORIGIN_OFFSET: record.offset,
        }
        headers = [*record.headers, *((name, str(value).encode()) for name, value in ours.items())]
        # Kafka's clients send no record without both key and value.
        empty = record.key is None and record.value is None
        value = b"" if empty else record.value
        return await self._appender.append(self._topic, value, key=record.key, headers=headers)
