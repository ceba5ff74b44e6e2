"""An execution's story from the log: the records that concern it, each with the fold's verdict."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from noetl_stream.core.events import Decision, Event
from noetl_stream.core.execution import Execution
from noetl_stream.core.partition import Folded, Partition, evolve
from noetl_stream.core.report import Story
from noetl_stream.errors import NoetlError
from noetl_stream.ids import partition_of
from noetl_stream.ports.log import Reader, Record
from noetl_stream.wire.codec import decode_event
from noetl_stream.wire.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One record of an execution: what it says, what the fold made of it, and when (seconds)."""

    record: Record
    event: Event
    folded: Folded

    @property
    def at(self) -> float:
        return self.event.at if isinstance(self.event, Decision) else self.record.timestamp / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where to stop a replay: at a time (seconds), after an offset, after the n-th record of the execution, or nowhere."""

    at: float | None = None
    offset: int | None = None
    number: int | None = None

    def is_past(self, record: Record, number: int) -> bool:
        """Whether `record`, the execution's `number`-th (from 1), lies behind this moment."""
        too_late = self.at is not None and record.timestamp / 1000 > self.at
        too_far = self.offset is not None and record.offset > self.offset
        return too_late or too_far or (self.number is not None and number > self.number)


ALWAYS = Moment()


async def tell(
    reader: Reader,
    topics: Topics,
    execution: int,
    *,
    stop: int | None = None,
    until: Moment = ALWAYS,
) -> AsyncGenerator[Told, None]:
    """The execution's records up to `stop`; None follows the log for ever. Read from the beginning: which decisions
    count depends on every fence before them.

    Only its own records and the partition's fences are decoded: the verdicts of other machines do not matter to it.
    A record past `until` is not even folded, since a fact changes in place the state that was told before.
    """
    partition, state = partition_of(execution, topics.events.partitions), Partition()
    key, number = str(execution).encode(), 0
    async for record in reader.read(topics.events.name, partition, 0, stop):
        if record.key not in (None, key):
            continue
        event = _decoded(record)
        if event is None:
            continue
        number += record.key is not None
        if until.is_past(record, number):
            return
        folded = evolve(state, int(record.key or 0), event, record.offset)
        if record.key is not None:
            yield Told(record=record, event=event, folded=folded)


def _decoded(record: Record) -> Event | None:
    """What cannot be read counts for no reader."""
    try:
        return decode_event(record.value or b"")
    except (NoetlError, ValueError):
        return None


async def story_of(reader: Reader, topics: Topics, execution: int) -> Story:
    """The story up to the log's present end."""
    partition = partition_of(execution, topics.events.partitions)
    stop = await reader.end(topics.events.name, partition)
    story = Story()
    async for told in tell(reader, topics, execution, stop=stop):
        story.tell(told.event, told.folded, told.at)
    return story


async def state_at(reader: Reader, topics: Topics, execution: int, moment: Moment) -> Execution | None:
    """The execution's state at a past moment; None if it did not exist yet."""
    partition = partition_of(execution, topics.events.partitions)
    stop = await reader.end(topics.events.name, partition)
    found: Execution | None = None
    async for told in tell(reader, topics, execution, stop=stop, until=moment):
        found = told.folded.machine or found
    return found
