"""Gaining a partition: fence, furthest marker, the tail up to the fence, and the outbox from the committed offset on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from noetl_stream.core.events import Event, ExecutionRequested, PartitionTaken, RecordRejected
from noetl_stream.core.partition import Partition, pass_over
from noetl_stream.core.plan import Plan
from noetl_stream.core.snapshot import load
from noetl_stream.errors import HistoryError, InvalidRequest, UndecodableRecord, UnknownSchema
from noetl_stream.orchestrator.checkpointing import Checkpoints
from noetl_stream.orchestrator.owner import Owner
from noetl_stream.orchestrator.saved import Key, Saved
from noetl_stream.ports.catalog import PinnedPlans
from noetl_stream.ports.log import Appender, Reader, Record
from noetl_stream.wire.codec import decode_event, encode, machine_of

log = logging.getLogger(__name__)

UNREADABLE = (UnknownSchema, UndecodableRecord, ValueError)
"""What reading a record of the event log may raise."""


async def _nothing_to_learn() -> None:
    """For a log whose writers all are of this release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A record that nobody can read, and why."""

    record: Record
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A partition's new owner, and what it must still reject: an earlier owner ended before it had.

    `former` are the keys of checkpoints under earlier fences.
    """

    owner: Owner
    unread: tuple[Unread, ...]
    former: tuple[Key, ...]


@dataclass(slots=True, kw_only=True)
class _Refold:
    """The fold of a tail. `base` says up to where each machine's checkpoint reaches, `without` what was rejected and is
    passed over; `rejected` are those whose rejection was read after they, or what they were in, had been folded.
    """

    owner: Owner
    base: Mapping[int, int]
    without: frozenset[int]
    unread: dict[int, Unread] = field(default_factory=dict)
    rejected: set[int] = field(default_factory=set)

    def reject(self, offset: int) -> None:
        if self.unread.pop(offset, None) is None and offset not in self.without:
            self.rejected.add(offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restorer:
    """Builds the owner of a partition from the log, bounded by its checkpoints.

    `learn_schemas` reads what writers have registered up to now.
    """

    log: Appender
    reader: Reader
    checkpoints: Checkpoints
    plans: PinnedPlans
    topic: str
    name: str
    learn_schemas: Callable[[], Awaitable[None]] = _nothing_to_learn

    async def restore(self, partition: int, committed: int, now: float) -> Restored:
        """Take the partition: after this nobody's older decision counts. `committed` is the group's offset."""
        taken = PartitionTaken(owner=self.name, time=now)
        fence = await self.log.append(self.topic, encode(taken), partition=partition)
        saved = Saved.of(await self.checkpoints.read(partition), fence)
        fold = await self._refold(partition, fence, committed, saved, frozenset())
        while fold.rejected:
            without = fold.without | fold.rejected
            saved = saved.before(min(without))
            fold = await self._refold(partition, fence, committed, saved, without)
        fold.owner.position = fence + 1
        fold.owner.decide_all()
        return Restored(owner=fold.owner, unread=tuple(fold.unread.values()), former=saved.former)

    async def _refold(
        self, partition: int, fence: int, committed: int, saved: Saved, without: frozenset[int]
    ) -> _Refold:
        """Fold from what was saved up to the fence."""
        fold = await self._begin(fence, saved, without)
        async for record in self.reader.read(self.topic, partition, fold.owner.position, fence + 1):
            if record.offset in without:
                continue
            try:
                event = await self.event(record)
            except UNREADABLE as error:
                fold.unread[record.offset] = Unread(record=record, reason=str(error))
            else:
                await self._fold(fold, record, event, committed)
        return fold

    async def event(self, record: Record) -> Event:
        """What a record says; an unknown schema may have been registered meanwhile. Raises one of UNREADABLE."""
        machine_of(record)
        try:
            return event_of(record)
        except UnknownSchema:
            await self.learn_schemas()
        return event_of(record)

    async def _begin(self, fence: int, saved: Saved, without: frozenset[int]) -> _Refold:
        """The owner as of the marker; without one, or where a machine of its has no checkpoint, at the log's beginning.

        The marker of an owner that was paused before it wrote it may come when its checkpoints have been forgotten.
        """
        state = Partition() if saved.marker is None else load(saved.marker.body)
        if saved.marker is None or not state.machines.keys() <= saved.checkpoints.keys():
            owner = Owner(fence=fence, state=Partition(), position=0, plans=self._plan)
            return _Refold(owner=owner, base={}, without=without)
        found = {machine: saved.checkpoints[machine] for machine in state.machines}
        state.machines = {machine: load(checkpoint.body) for machine, checkpoint in found.items()}
        for execution in state.machines.values():
            await self._have_plan(execution.request)
        owner = Owner(fence=fence, state=state, position=saved.marker.folded_to + 1, plans=self._plan)
        base = {machine: checkpoint.offset for machine, checkpoint in found.items()}
        return _Refold(owner=owner, base=base, without=without)

    async def _fold(self, fold: _Refold, record: Record, event: Event, committed: int) -> None:
        machine, owner = machine_of(record), fold.owner
        if record.offset <= fold.base.get(machine, -1):
            pass_over(owner.state, event)
            return
        await self.prepare(event)
        unsent = record.offset >= committed
        folded = owner.fold(record.offset, machine, event, record.timestamp / 1000, unsent=unsent)
        if isinstance(event, RecordRejected) and folded is not None and folded.verdict == "accepted":
            fold.reject(event.offset)

    async def prepare(self, event: Event) -> None:
        """Whatever must be at hand before an event is folded. Raises InfrastructureError if the catalog lags too long."""
        if isinstance(event, ExecutionRequested):
            await self._have_plan(event)

    def is_prepared(self, event: Event) -> bool:
        """Whether an event can be folded without waiting for anything."""
        if not isinstance(event, ExecutionRequested):
            return True
        return self.plans.known_plan(event.path, event.version, event.digest) is not None

    async def _have_plan(self, request: ExecutionRequested) -> None:
        """A playbook that cannot be had costs its execution, which the owner then sets aside, never the partition."""
        try:
            await self.plans.await_plan(request.path, request.version, request.digest, request.catalog_offset)
        except InvalidRequest as error:
            log.warning("%s", error)

    def _plan(self, request: ExecutionRequested) -> Plan:
        plan = self.plans.known_plan(request.path, request.version, request.digest)
        if plan is None:
            raise HistoryError(
                f"playbook {request.path} version {request.version} was never read from the catalog: it was recreated, or "
                "the version no longer compiles; register the playbook, and ask again with another key"
            )
        return plan


def event_of(record: Record) -> Event:
    """Raises one of UNREADABLE."""
    return decode_event(record.value or b"")
