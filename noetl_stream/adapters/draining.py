"""Reading a bounded part of a topic: from where, up to where, and no longer than was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from aiokafka import TopicPartition

from noetl_stream.adapters.kafka_log import record_of
from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import Drained, Offsets, Range
from noetl_stream.ports.log import Record


class Drain:
    """One reading by a started consumer."""

    def __init__(self, consumer: Any, places: Sequence[TopicPartition], wanted: Range) -> None:
        self._consumer, self._places, self._wanted = consumer, places, wanted
        self._records: list[Record] = []
        self._bytes = 0

    async def run(self, until: float) -> Drained:
        """Everything in the range, or as much of it as comes by `until` (monotonic) and is not too much."""
        self._consumer.assign(list(self._places))
        begins = await self._consumer.beginning_offsets(list(self._places))
        ends = await self._consumer.end_offsets(list(self._places))
        stops = await self._stops(ends)
        at = await self._starts(begins, ends)
        for place, offset in at.items():
            self._consumer.seek(place, offset)
        open_ = [place for place in self._places if at[place] < stops[place]]
        while open_ and self._has_room() and (left := until - monotonic()) > 0:
            await self._take(open_, stops, at, left)
            open_ = [place for place in open_ if at[place] < stops[place]]
        return Drained(
            records=self._records,
            next={place.partition: at[place] for place in self._places},
            complete=not open_,
        )

    async def _take(
        self,
        open_: Sequence[TopicPartition],
        stops: Mapping[TopicPartition, int],
        at: dict[TopicPartition, int],
        seconds: float,
    ) -> None:
        room = self._wanted.most - len(self._records)
        found = await self._consumer.getmany(*open_, timeout_ms=int(seconds * 1000) + 1, max_records=room)
        for place in open_:
            for each in found.get(place, ()):
                if each.offset >= stops[place] or not self._has_room():
                    break
                self._records.append(record_of(each))
                self._bytes += len(each.value or b"") + len(each.key or b"")
                at[place] = each.offset + 1
            else:
                # What compaction or a transaction left out is behind us too.
                at[place] = min(await self._consumer.position(place), stops[place])

    def _has_room(self) -> bool:
        return len(self._records) < self._wanted.most and self._bytes < self._wanted.most_bytes

    async def _starts(
        self, begins: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        match self._wanted.start:
            case "earliest":
                found: Mapping[TopicPartition, int] = begins
            case "latest":
                found = ends
            case start:
                found = await self._resolved(start, ends, begins)
        starts = dict(found)
        if self._wanted.group is not None:
            for place in self._places:
                committed = await self._consumer.committed(place)
                starts[place] = starts[place] if committed is None else committed
        for place, offset in starts.items():
            if not begins[place] <= offset <= ends[place]:
                raise ToolError(
                    f"{place.topic}[{place.partition}] holds the offsets {begins[place]} to {ends[place]}, not {offset}; "
                    "begin with one of them",
                    kind="client_error",
                    code="offset_out_of_range",
                )
        return starts

    async def _stops(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        if self._wanted.stop is None:
            return ends
        found = await self._resolved(self._wanted.stop, ends, ends)
        return {place: min(found[place], ends[place]) for place in self._places}

    async def _resolved(
        self, where: Offsets | int, ends: Mapping[TopicPartition, int], other: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Offsets as they were said, or the first at a time; a partition of which nothing is said has the `other`."""
        if not isinstance(where, int):
            return {place: where.get(place.partition, other[place]) for place in self._places}
        found = await self._consumer.offsets_for_times(dict.fromkeys(self._places, where))
        return {place: ends[place] if found[place] is None else found[place].offset for place in self._places}
