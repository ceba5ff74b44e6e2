"""An orchestrator's shell at a log in memory: one partition, a group that says what its test wants, offers that nobody runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from noetl_stream.adapters.fact_log import KafkaFactLog
from noetl_stream.core.events import (
    BlockCompleted,
    BlockId,
    Decision,
    Event,
    ExecutionEnded,
    ExecutionRequested,
    PartitionTaken,
    RecordRejected,
)
from noetl_stream.core.messages import Offer
from noetl_stream.core.partition import Partition, evolve
from noetl_stream.core.plan import Plan
from noetl_stream.core.snapshot import load, state_hash
from noetl_stream.errors import HistoryError
from noetl_stream.ids import execution_id, identity
from noetl_stream.orchestrator.delivery import Delivery
from noetl_stream.orchestrator.orchestrator import Group, Orchestrator
from noetl_stream.orchestrator.restore import Restorer
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.log import Record
from noetl_stream.wire.codec import decode_event, decode_offer, encode
from noetl_stream.wire.topics import Topics
from tests.memory import MemoryCheckpoints, MemoryLog, MemoryPlans

TOPICS = Topics(partitions=1)
EVENTS = TOPICS.events.name
BLOCKS = TOPICS.blocks("default").name


@dataclass(slots=True)
class House:
    """What survives an orchestrator: the log, the checkpoints, the group's offset. `shell` is the one that runs now."""

    plan: Plan
    cache: Cache
    log: MemoryLog = field(default_factory=MemoryLog)
    shelf: MemoryCheckpoints = field(default_factory=MemoryCheckpoints)
    plans: MemoryPlans = field(default_factory=MemoryPlans)
    late: list[Plan] = field(default_factory=list)
    committed: int = 0
    mine: bool = True
    learned: int = 0
    teacher: Callable[[], Awaitable[None]] | None = None
    dead: list[tuple[int, str]] = field(default_factory=list)
    read_to: int = 0
    shell: Orchestrator = field(init=False)

    def __post_init__(self) -> None:
        self.plans.plans.append(self.plan)
        self.shell = self.new_shell()

    def new_shell(self, name: str = "me") -> Orchestrator:
        facts = KafkaFactLog(self.log, TOPICS.events)
        return Orchestrator(
            restorer=Restorer(
                log=self.log,
                reader=self.log,
                checkpoints=self.shelf,
                plans=self.plans,
                topic=EVENTS,
                name=name,
                learn_schemas=self.learn,
            ),
            delivery=Delivery(
                log=self.log,
                replies=self.log,
                facts=facts,
                reader=self.log,
                plans=self.plans,
                cache=self.cache,
                topics=TOPICS,
                nearby=lambda *_: None,
                refresh=self._refresh,
                clock=lambda: self.log.now,
            ),
            group=Group(committed=self._committed, still_mine=lambda _: self.mine, commit=self._commit),
            dead_letter=self._dead_letter,
            clock=lambda: self.log.now,
            again_after=0,
        )

    async def _committed(self) -> Mapping[int, int]:
        return {0: self.committed}

    def _commit(self, partition: int, offset: int) -> None:
        self.committed = max(self.committed, offset)

    async def learn(self) -> None:
        self.learned += 1
        if self.teacher is not None:
            await self.teacher()

    async def _refresh(self) -> None:
        self.plans.plans += self.late
        self.late = []

    async def _dead_letter(self, record: Record, reason: str) -> None:
        self.dead.append((record.offset, reason))

    # what happens

    async def taken(self) -> House:
        await self.shell.keep_only([0])
        return await self.settled()

    async def killed(self) -> House:
        """The process is gone; another takes the partition and is delivered from the committed offset on."""
        self.shell.drop([0])
        self.shell = self.new_shell("another")
        self.read_to = self.committed
        return await self.taken()

    async def settled(self) -> House:
        """Every record is delivered, and all that follows from it has happened."""
        quiet = 0
        while quiet < 10:
            await asyncio.sleep(0)
            records = self.log.records(EVENTS)
            quiet = 0 if self.read_to < len(records) else quiet + 1
            while self.read_to < len(records):
                await self.shell.receive(records[self.read_to])
                self.read_to += 1
        return self

    def write(self, event: Event, machine: int = 0) -> None:
        """A record that somebody else appended."""
        self.write_bytes(encode(event), machine)

    def write_bytes(self, value: bytes, machine: int = 0) -> None:
        self.log.append_soon(EVENTS, value, key=str(machine).encode() if machine else None, partition=0)

    def request(self, key: str = "k", plan: Plan | None = None, **more: Any) -> int:
        """A request for an execution, and its id."""
        hashed, plan = identity("key", key), plan or self.plan
        asked: dict[str, Any] = {"identity": hashed.hex(), "seed": "s", "payload": {}, "time": self.log.now}
        pinned = {"path": plan.path, "version": plan.version, "digest": plan.digest, "catalog_offset": 0}
        self.write(ExecutionRequested(**(asked | pinned | more)), execution_id(hashed))
        return execution_id(hashed)

    def complete(self, execution: int, step: str, **more: Any) -> None:
        """A worker completed the block of a step."""
        done: dict[str, Any] = {"attempt": 0, "segment": 0, "run": "r", "result": None, "time": self.log.now}
        self.write(BlockCompleted(block=BlockId(step, 0, 0), **(done | more)), execution)

    # what can be seen

    @property
    def events(self) -> list[Event]:
        return [event for _, _, event in self._readable()]

    @property
    def decisions(self) -> list[Decision]:
        return [event for event in self.events if isinstance(event, Decision)]

    @property
    def fences(self) -> list[str]:
        return [event.owner for event in self.events if isinstance(event, PartitionTaken)]

    @property
    def offers(self) -> list[Offer]:
        return [decode_offer(record.value or b"") for record in self.log.records(BLOCKS)]

    def endings(self) -> list[ExecutionEnded]:
        """How executions ended, as the fold accepted it."""
        state, found = Partition(), list[ExecutionEnded]()
        for offset, machine, event in self._readable():
            folded = evolve(state, machine, event, offset)
            found += [move for move in folded.moves if isinstance(move, ExecutionEnded)]
        return found

    def folded(self) -> str:
        """The hash of the state that the whole log tells."""
        state = Partition()
        for offset, machine, event in self._readable():
            evolve(state, machine, event, offset)
        return state_hash(state)

    def held(self) -> str:
        """The hash of the state that the shell holds, its sleepers as their checkpoints have them."""
        seat = self.shell._seats[0]
        sleepers = {m: load(self.shelf.written[place].body) for m, place in seat.sleepers._places.items()}
        return state_hash(replace(seat.owner.state, machines=seat.owner.state.machines | sleepers))

    def _readable(self) -> list[tuple[int, int, Event]]:
        found = []
        for record in self.log.records(EVENTS):
            try:
                found.append((record.offset, int(record.key or 0), decode_event(record.value or b"")))
            except (HistoryError, ValueError):
                continue
        rejected = {event.offset for _, _, event in found if isinstance(event, RecordRejected)}
        return [each for each in found if each[0] not in rejected]
