"""Folded state on a compacted topic, in the partition with the same number as its events'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.errors import InfrastructureError, UndecodableRecord
from noetl_stream.wire.codec import decode, encode, expect
from noetl_stream.wire.records import Checkpoint, PartitionMarker, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The furthest marker of a partition, and the furthest checkpoint of every machine that has one."""

    marker: PartitionMarker | None
    checkpoints: Mapping[int, Checkpoint]


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
        key = f"partition/{marker.fence}".encode()
        await self._appender.append(self._topic, encode(marker), key=key, partition=marker.partition)

    async def forget(self, partition: int, machine: int, fence: int) -> None:
        """Leave a finished machine's checkpoint to compaction."""
        await self._appender.append(self._topic, None, key=_machine_key(machine, fence), partition=partition)

    async def read(self, partition: int) -> Restored:
        """What a restore begins from. Raises UnknownSchema or UndecodableRecord: no state may be guessed."""
        latest: dict[bytes | None, bytes] = {}
        start = await self._reader.begin(self._topic, partition)
        stop = await self._reader.end(self._topic, partition)
        async for record in self._reader.read(self._topic, partition, start, stop):
            if record.value is None:
                latest.pop(record.key, None)
            else:
                latest[record.key] = record.value
        return _restored(map(self._decode, latest.values()))


def _machine_key(machine: int, fence: int) -> bytes:
    return f"{machine}/{fence}".encode()


def _restored(records: map[Record]) -> Restored:
    marker: PartitionMarker | None = None
    checkpoints: dict[int, Checkpoint] = {}
    for record in records:
        match record:
            case PartitionMarker():
                marker = max(marker or record, record, key=lambda m: (m.folded_to, m.fence))
            case Checkpoint(machine=machine):
                best = checkpoints.get(machine, record)
                checkpoints[machine] = max(best, record, key=lambda c: (c.offset, c.fence))
            case _:
                raise UndecodableRecord(f"a {type(record).__name__} stands among the checkpoints")
    return Restored(marker=marker, checkpoints=checkpoints)
