"""Folded state on a compacted topic, in the partition with the same number as its events'."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.errors import InfrastructureError, UndecodableRecord
from noetl_stream.wire.codec import decode, encode, expect
from noetl_stream.wire.records import Checkpoint, PartitionMarker, Record


class KafkaCheckpoints:
    """Writes and reads one installation's checkpoints.

    Keys hold the fence, so that an owner which was paused and resumed cannot overwrite its successor's.
    """

    def __init__(
        self,
        appender: KafkaAppender,
        reader: KafkaReader,
        topic: str,
        decode: Callable[[bytes], Record] = decode,
    ) -> None:
        self._appender, self._reader, self._topic, self._decode = appender, reader, topic, decode

    async def write(self, partition: int, checkpoint: Checkpoint) -> int:
        """The offset at which it stands. Raises like `Appender.append`. Until `mark` ends its round it bounds no restore."""
        key = _machine_key(checkpoint.machine, checkpoint.fence)
        return await self._appender.append(self._topic, encode(checkpoint), key=key, partition=partition)

    async def read_one(self, partition: int, place: int) -> Checkpoint:
        """The checkpoint at an offset that `write` returned: compaction keeps the newest of its key where it is."""
        async for record in self._reader.read(self._topic, partition, place, place + 1):
            return expect(Checkpoint, self._decode(record.value or b""))
        raise InfrastructureError(
            f"{self._topic}[{partition}] holds no checkpoint at offset {place}; was it recreated?"
        )

    async def mark(self, marker: PartitionMarker) -> None:
        """End a round. Every checkpoint of the round must have been acknowledged."""
        key = _marker_key(marker.fence)
        await self._appender.append(self._topic, encode(marker), key=key, partition=marker.partition)

    async def forget(self, partition: int, machine: int, fence: int) -> None:
        """Leave a checkpoint, or with machine 0 a marker, to compaction."""
        key = _machine_key(machine, fence) if machine else _marker_key(fence)
        await self._appender.append(self._topic, None, key=key, partition=partition)

    async def read(self, partition: int) -> Iterable[Checkpoint | PartitionMarker]:
        """The newest of every key. Raises UnknownSchema or UndecodableRecord: no state may be guessed."""
        latest: dict[bytes | None, bytes] = {}
        start = await self._reader.begin(self._topic, partition)
        stop = await self._reader.end(self._topic, partition)
        async for record in self._reader.read(self._topic, partition, start, stop):
            if record.value is None:
                latest.pop(record.key, None)
            else:
                latest[record.key] = record.value
        return [_kept(self._decode(value)) for value in latest.values()]


def _machine_key(machine: int, fence: int) -> bytes:
    return f"{machine}/{fence}".encode()


def _marker_key(fence: int) -> bytes:
    return f"partition/{fence}".encode()


def _kept(record: Record) -> Checkpoint | PartitionMarker:
    if not isinstance(record, Checkpoint | PartitionMarker):
        raise UndecodableRecord(f"a {type(record).__name__} stands among the checkpoints")
    return record
