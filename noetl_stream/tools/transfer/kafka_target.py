"""A topic as a target: each row one record of JSON. What was sent stays: it says by a header which effect and row it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from noetl_stream.ports.brokers import EFFECT_HEADER, Outgoing
from noetl_stream.tools.transfer.columns import check_columns
from noetl_stream.tools.transfer.config import KafkaEnd
from noetl_stream.tools.transfer.formats import json_rows
from noetl_stream.tools.transfer.kafka_topic import Topic
from noetl_stream.tools.transfer.once import Summary
from noetl_stream.tools.transfer.texts import json_bytes

_RECORDS: Final = 16_384
_BYTES: Final = 16 << 20


class KafkaTarget:
    def __init__(self, end: KafkaEnd, topic: Topic, said: str, effect: str) -> None:
        """`effect` is the task's key: the same when it runs again."""
        self.said = said
        self._end, self._topic, self._effect = end, topic, effect

    def open(self, schema: pa.Schema) -> pa.Schema:
        keys = [] if self._end.key_field is None else [self._end.key_field]
        check_columns(schema, schema.names, keys, self.said)
        return schema

    def write(self, rows: pa.RecordBatchReader, summary: Summary) -> None:
        held: list[Outgoing] = []
        size = 0
        for number, (key, value) in enumerate(self._rows(rows)):
            header = (EFFECT_HEADER, f"{self._effect}/{number}".encode())
            held.append(Outgoing(key=key, value=value, headers=[header]))
            size += len(value)
            if len(held) == _RECORDS or size >= _BYTES:
                self._topic.produce(held)
                held, size = [], 0
        if held:
            self._topic.produce(held)

    def stop(self) -> None:
        self._topic.bridge.stop()

    def close(self) -> None:
        """Each sending has a connection of its own."""

    def _rows(self, batches: pa.RecordBatchReader) -> Iterator[tuple[bytes | None, bytes]]:
        for batch in batches:
            keys = self._keys(batch)
            for key, row in zip(keys, json_rows(batch), strict=True):
                yield key_bytes(key), json_bytes(row)

    def _keys(self, batch: pa.RecordBatch) -> Sequence[Any]:
        named = self._end.key_field
        return [None] * batch.num_rows if named is None else batch.column(named).to_pylist()


def key_bytes(key: Any) -> bytes | None:
    """Text and bytes as they are, numbers, uuids and moments as their text, anything else as JSON."""
    match key:
        case None | bytes():
            return key
        case str():
            return key.encode()
        case _:
            return json_bytes(key).strip(b'"')
