"""Every writer's Avro schemas: ours stand in the topic before their first use, others' are learned from it."""

from __future__ import annotations

import asyncio
import logging

from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.errors import UndecodableRecord, UnknownSchema
from noetl_stream.ports.log import Record
from noetl_stream.wire.codec import decode, encode, expect
from noetl_stream.wire.records import SchemaRegistered
from noetl_stream.wire.registry import Registry
from noetl_stream.wire.schemas import released

_log = logging.getLogger(__name__)


class SchemaTopic:
    """Keeps a registry in step with the topic."""

    def __init__(self, appender: KafkaAppender, reader: KafkaReader, topic: str, registry: Registry) -> None:
        self._appender, self._reader, self._topic, self._registry = appender, reader, topic, registry
        self._position = 0
        self._known: set[str] = set()

    async def publish(self) -> int:
        """Register this release's schemas where they are missing, and wait until they stand; returns how many did not.

        Raises like `Appender.append`: nothing may be written with a schema whose registration is not acknowledged.
        """
        await self.catch_up()
        missing = [schema for schema in released() if schema.fingerprint.hex() not in self._known]
        await asyncio.gather(*(self._register(schema.fingerprint.hex(), schema.text) for schema in missing))
        return len(missing)

    def _register(self, fingerprint: str, text: str) -> asyncio.Future[int]:
        entry = SchemaRegistered(fingerprint=fingerprint, schema=text)
        return self._appender.append_soon(self._topic, encode(entry), key=fingerprint.encode(), partition=0)

    async def catch_up(self) -> None:
        """Learn what others registered, up to the topic's present end. After it, an unknown schema is unknown."""
        start = max(self._position, await self._reader.begin(self._topic, 0))
        stop = await self._reader.end(self._topic, 0)
        async for record in self._reader.read(self._topic, 0, start, stop):
            self._learn(record)
        self._position = stop

    def _learn(self, record: Record) -> None:
        try:
            entry = expect(SchemaRegistered, decode(record.value or b""))
            self._known.add(self._registry.learn(entry.schema))
        except (UndecodableRecord, UnknownSchema, ValueError) as error:
            # One writer's broken registration must not stop the others: its records stay unknown, and say so.
            _log.warning("%s[0] offset %d registers nothing: %s", record.topic, record.offset, error)
