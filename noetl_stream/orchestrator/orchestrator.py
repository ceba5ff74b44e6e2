"""The orchestrator's shell: read, fold, decide, carry out. Everything it knows about playbooks stands in `core`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from noetl_stream.core.events import Event, PartitionTaken, RecordRejected
from noetl_stream.errors import InfrastructureError, NoetlError
from noetl_stream.orchestrator.checkpointing import Rounds
from noetl_stream.orchestrator.delivery import Delivery
from noetl_stream.orchestrator.owner import Append
from noetl_stream.orchestrator.restore import UNREADABLE, Restorer
from noetl_stream.orchestrator.seat import Seat
from noetl_stream.orchestrator.sending import Sender
from noetl_stream.orchestrator.sleepers import Sleepers
from noetl_stream.ports.log import Record
from noetl_stream.wire.codec import encode, machine_of

log = logging.getLogger(__name__)

AGAIN_AFTER = 0.5
"""Seconds before an append or a message that failed is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What the consumer group tells and is told."""

    committed: Callable[[], Awaitable[Mapping[int, int]]]
    """The group's committed offset by partition; none if it never committed there."""
    still_mine: Callable[[int], bool]
    """Whether this member holds the partition at its present generation."""
    commit: Callable[[int, int], None]
    """Everything below this offset of the partition may be committed."""


class Orchestrator:
    """Owns the partitions it is given. `dead_letter` takes a record that nobody can read, and the reason."""

    def __init__(
        self,
        *,
        restorer: Restorer,
        delivery: Delivery,
        group: Group,
        dead_letter: Callable[[Record, str], Awaitable[None]],
        clock: Callable[[], float] = time.time,
        again_after: float = AGAIN_AFTER,
    ) -> None:
        self._again_after = again_after
        self._restorer, self._delivery, self._group, self._clock = restorer, delivery, group, clock
        self._dead_letter = dead_letter
        self._sender = Sender(
            delivery,
            dead_letter=dead_letter,
            delivered=self._settle,
            clock=clock,
            again_after=again_after,
        )
        self._seats: dict[int, Seat] = {}
        self._events = delivery.topics.events.name

    async def keep_only(self, partitions: Iterable[int]) -> None:
        """A rebalance: leave what was lost, restore what was gained, keep what was kept.

        What seems kept was lost all the same if the group has committed past it: whoever slept past its session missed
        that somebody else held it, and would never be delivered the records that they folded, their fence included.
        """
        mine = set(partitions)
        self.drop([p for p in self._seats if p not in mine])
        if mine:
            committed = await self._group.committed()
            self.drop([p for p, seat in self._seats.items() if committed.get(p, 0) > seat.owner.position])
            await self.take((p for p in mine if p not in self._seats), committed)

    async def take(self, partitions: Iterable[int], committed: Mapping[int, int]) -> None:
        """Restore partitions, all at once. If one cannot be restored, those that are not yet are given up too."""
        async with asyncio.TaskGroup() as group:
            for partition in sorted(partitions):
                group.create_task(self._take(partition, committed.get(partition, 0)))

    async def _take(self, partition: int, committed: int) -> None:
        restored = await self._restorer.restore(partition, committed, self._clock())
        for unread in restored.unread:
            await self._reject(unread.record, unread.reason, restored.owner.fence)
        if not self._group.still_mine(partition):
            return
        self.drop([partition])
        owner, store = restored.owner, self._restorer.checkpoints
        rounds = Rounds(partition, owner, store, restored.former)
        sleepers = Sleepers(partition, owner, store)
        seat = self._seats[partition] = Seat(partition, owner, rounds, sleepers)
        self._drive(seat)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what was revoked: its state, its timers, what was on its way."""
        for partition in partitions:
            seat = self._seats.pop(partition, None)
            if seat is not None:
                seat.leave()

    async def receive(self, record: Record) -> None:
        """Take in one record of the event log. Returns once it is folded; what follows from it goes on by itself."""
        seat = self._seats.get(record.partition)
        if seat is None or record.offset < seat.owner.position:
            if seat is not None:
                self._group.commit(seat.partition, seat.owner.committable)
            return
        if record.offset > seat.owner.position:
            await self._take_back(seat)
            return
        event = await self._read(seat, record)
        if event is None:
            return
        await self._restorer.prepare(event)
        if seat.rounds.overdue():
            await seat.calm.wait()
        await seat.sleepers.wake(machine_of(record))
        if seat.lost:
            return
        seat.owner.fold(record.offset, machine_of(record), event, record.timestamp / 1000)
        if isinstance(event, PartitionTaken) and seat.owner.superseded:
            await self._take_back(seat)
            return
        self._drive(seat)

    def overhear(self, partition: int, offset: int, machine: int, event: Event) -> None:
        """A fact that this process appended, acknowledged at `offset`: folded at once if it is the next to fold.

        It saves the way through the broker and back; delivered later, the record is one that was folded before.
        """
        seat = self._seats.get(partition)
        if seat is None or offset != seat.owner.position or seat.rounds.overdue():
            return
        if machine in seat.owner.asleep:
            return
        if self._restorer.is_prepared(event):
            seat.owner.fold(offset, machine, event, self._clock())
            self._drive(seat)

    async def _read(self, seat: Seat, record: Record) -> Event | None:
        """The record's event, or None once it is rejected: the partition goes on without it."""
        try:
            return await self._restorer.event(record)
        except UNREADABLE as error:
            await self._reject(record, str(error), seat.owner.fence)
        seat.owner.position = max(seat.owner.position, record.offset + 1)
        self._drive(seat)
        return None

    async def _reject(self, record: Record, reason: str, fence: int) -> None:
        """The bytes go to dead letters, the log says that they count for nobody."""
        await self._dead_letter(record, reason)
        rejected = RecordRejected(fence=fence, offset=record.offset, reason=reason, time=self._clock())
        await self._delivery.log.append(self._events, encode(rejected), partition=record.partition)

    async def _take_back(self, seat: Seat) -> None:
        """A newer fence than ours, or records that we never saw: if the group still gives us the partition, restore it,
        else stop."""
        partition = seat.partition
        self.drop([partition])
        while self._group.still_mine(partition):
            try:
                committed = await self._group.committed()
                await self._take(partition, committed.get(partition, 0))
                return
            except InfrastructureError as error:
                log.warning("taking partition %s back is tried again: %s", partition, error)
                await asyncio.sleep(self._again_after)

    def _drive(self, seat: Seat) -> None:
        """Carry out what the owner wants now, and come back when its next timer is due."""
        if seat.lost:
            return
        now = self._clock()
        for append in seat.owner.appends(now):
            self._append(seat, append)
        for machine in seat.owner.wanted():
            seat.spawn(self._rouse(seat, machine))
        for sending in seat.owner.fresh():
            self._sender.send(seat, sending)
        self._settle(seat)
        self._wind(seat, now)

    async def _rouse(self, seat: Seat, machine: int) -> None:
        """A sleeper's timer is due."""
        while machine in seat.owner.asleep:
            try:
                await seat.sleepers.wake(machine)
            except InfrastructureError as error:
                log.warning("execution %s cannot be woken yet: %s", machine, error)
                await asyncio.sleep(self._again_after)
        self._drive(seat)

    def _settle(self, seat: Seat) -> None:
        """Commit what may be committed; a moment when nothing is unsent is one for a checkpoint."""
        self._group.commit(seat.partition, seat.owner.committable)
        if not seat.owner.idle:
            seat.calm.clear()
            return
        if seat.rounds.due():
            seat.spawn(_written(seat, seat.rounds.run()))
        seat.calm.set()

    def _wind(self, seat: Seat, now: float) -> None:
        """One timer a partition, for its earliest alarm."""
        alarm = seat.owner.next_alarm
        if seat.timer is not None:
            seat.timer.cancel()
            seat.timer = None
        if alarm is not None:
            seat.timer = asyncio.get_running_loop().call_later(max(0.0, alarm - now), self._drive, seat)

    def _append(self, seat: Seat, append: Append) -> None:
        try:
            encoded = encode(append.event)
        except (TypeError, ValueError) as fault:
            append = seat.owner.refuse(append, fault)
            encoded = encode(append.event)
        future = self._delivery.log.append_soon(
            self._events,
            encoded,
            key=str(append.machine).encode(),
            partition=seat.partition,
            headers={"noetl-execution": str(append.machine), "noetl-type": type(append.event).__name__},
        )
        future.add_done_callback(partial(self._appended, seat, append))

    def _appended(self, seat: Seat, append: Append, future: asyncio.Future[int]) -> None:
        if seat.lost or future.cancelled():
            return
        error = future.exception()
        if error is None:
            seat.owner.landed(append, future.result(), self._clock())
            self._drive(seat)
            return
        log.warning("a decision on execution %s is appended again: %s", append.machine, error)
        seat.owner.fate_unknown(append)
        asyncio.get_running_loop().call_later(self._again_after, self._drive, seat)

    @property
    def open_executions(self) -> int:
        """Executions that have not ended, awake or asleep."""
        return sum(len(seat.owner.state.machines) + len(seat.sleepers) for seat in self._seats.values())


async def _written(seat: Seat, round: Awaitable[None]) -> None:
    """Checkpoints only bound a restore: a round that cannot be written is begun again at the next calm moment."""
    try:
        await round
    except NoetlError as error:
        log.warning("a round of checkpoints is given up: %s", error)
    else:
        seat.sleepers.lay_down(seat.rounds.idle())
