"""An execution's story from the log: the records that concern it, each with the fold's verdict."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from noetl_stream.core.events import Decision, Event, RecordRejected
from noetl_stream.core.execution import Execution
from noetl_stream.core.partition import Folded, Partition, evolve
from noetl_stream.core.report import Story
from noetl_stream.errors import IllegalTransition, NoetlError
from noetl_stream.ids import partition_of
from noetl_stream.ports.log import Reader, Record
from noetl_stream.wire.codec import decode_event, machine_of
from noetl_stream.wire.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One record: what it says, what the fold made of it, and when (seconds)."""

    record: Record
    event: Event
    folded: Folded

    @property
    def machine(self) -> int:
        """The execution that it concerns; 0 if it is about the partition itself."""
        return machine_of(self.record)

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


class _TakenBack(Exception):
    """A record that was told counts for no reader: `without` are all that have been rejected so far."""

    def __init__(self, without: frozenset[int]) -> None:
        self.without = without
        super().__init__()


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

    Nothing is told twice: after the rejection of a record that was told, the others go on as if it had not been there.
    """
    without, told_to = frozenset[int](), -1
    while True:
        try:
            async with aclosing(_told(reader, topics, execution, stop, until, without)) as telling:
                async for told in telling:
                    if told.record.offset > told_to:
                        told_to = told.record.offset
                        yield told
            return
        except _TakenBack as found:
            without = found.without


async def _told(
    reader: Reader, topics: Topics, execution: int, stop: int | None, until: Moment, without: frozenset[int]
) -> AsyncGenerator[Told, None]:
    """Only the execution's own records and those about the partition are decoded: the verdicts of other machines do not
    matter to it.

    A record past `until` is not even folded, since a fact changes in place the state that was told before.
    Raises _TakenBack where one of its own that it has folded turns out to be rejected.
    """
    partition, state = partition_of(execution, topics.events.partitions), Partition()
    key, mine = str(execution).encode(), set[int]()
    async for record in reader.read(topics.events.name, partition, 0, stop):
        own = record.key == key
        event = decoded(record) if own or record.key is None else None
        if event is None or record.offset in without:
            continue
        if own:
            mine.add(record.offset)
        if until.is_past(record, len(mine)):
            return
        folded = _folded(state, machine_of(record), event, record.offset)
        if _rejection(event, folded) in mine:
            upto = stop or record.offset + 1
            raise _TakenBack(await _rejected(reader, record.topic, record.partition, upto))
        if own:
            yield Told(record=record, event=event, folded=folded)


def _folded(state: Partition, machine: int, event: Event, offset: int) -> Folded:
    """What a record did. One that no owner could fold did nothing; its quarantine follows, and is told too."""
    try:
        return evolve(state, machine, event, offset)
    except IllegalTransition:
        return Folded(verdict="rejected", machine=state.machines.get(machine))


async def tell_all(reader: Reader, topics: Topics, partition: int, state: Partition) -> AsyncIterator[Told]:
    """Every record of a partition up to its present end, whomever it concerns, folded into `state`.

    The partition is read twice: which records were rejected stands behind them.
    """
    topic = topics.events.name
    end = await reader.end(topic, partition)
    without = await _rejected(reader, topic, partition, end)
    async for record in reader.read(topic, partition, 0, end):
        event = None if record.offset in without else decoded(record)
        if event is not None:
            folded = _folded(state, machine_of(record), event, record.offset)
            yield Told(record=record, event=event, folded=folded)


def _rejection(event: Event, folded: Folded) -> int | None:
    """The offset that a record takes from every reader."""
    return event.offset if isinstance(event, RecordRejected) and folded.verdict == "accepted" else None


async def _rejected(reader: Reader, topic: str, partition: int, stop: int) -> frozenset[int]:
    """What was rejected up to `stop`."""
    state, found = Partition(), set[int | None]()
    async for record in reader.read(topic, partition, 0, stop):
        event = decoded(record) if record.key is None else None
        if event is not None:
            found.add(_rejection(event, evolve(state, 0, event, record.offset)))
    return frozenset(offset for offset in found if offset is not None)


def decoded(record: Record) -> Event | None:
    """What cannot be read counts for no reader, nor what stands under a foreign key."""
    try:
        machine_of(record)
        return decode_event(record.value or b"")
    except (NoetlError, ValueError):
        return None


async def story_of(reader: Reader, topics: Topics, execution: int, until: Moment = ALWAYS) -> Story:
    """The story up to the log's present end, or to a past moment."""
    stop = await reader.end(topics.events.name, partition_of(execution, topics.events.partitions))
    without = frozenset[int]()
    while True:
        story = Story()
        try:
            async for told in _told(reader, topics, execution, stop, until, without):
                story.tell(told.event, told.folded, told.at)
            return story
        except _TakenBack as found:
            without = found.without


async def state_at(reader: Reader, topics: Topics, execution: int, moment: Moment) -> Execution | None:
    """The execution's state at a past moment; None if it did not exist yet."""
    return (await story_of(reader, topics, execution, moment)).machine
