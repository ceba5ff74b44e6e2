"""The world around the code under test, and all that survives a crash: the log, the groups, the block topic, the outside."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal, TypeAlias
from zlib import crc32

from noetl_stream.core.events import BlockId, Event, ExecutionRequested
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan
from noetl_stream.core.values import Value
from tests.simulation.checkpoints import Shelf

if TYPE_CHECKING:
    from tests.simulation.faults import Fault, Faults

BLOCK_PARTITIONS = 2
WORKERS = 3

Fate: TypeAlias = Literal["acknowledged", "drop", "delay", "lost_ack"]


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the log; its offset is its place. `time` is when its sender sent it."""

    machine: int
    event: Event
    time: float


@dataclass(slots=True)
class Group:
    """The orchestrators' consumer group on the one partition of the log."""

    generation: int = 0
    owner: int = 0
    committed: int = 0

    def move(self, owner: int) -> None:
        self.generation, self.owner = self.generation + 1, owner

    def confirms(self, member: int, generation: int) -> bool:
        """What the group answers to a member that asks whether it still holds the partition."""
        return (self.owner, self.generation) == (member, generation)


@dataclass(slots=True)
class BlockTopic:
    """The offers, and the workers' consumer group on them."""

    offers: list[list[Offer]] = field(default_factory=lambda: [[] for _ in range(BLOCK_PARTITIONS)])
    committed: list[int] = field(default_factory=lambda: [0] * BLOCK_PARTITIONS)
    owners: list[int] = field(default_factory=lambda: list(range(BLOCK_PARTITIONS)))
    generation: int = 0

    def put(self, offer: Offer) -> None:
        key = f"{offer.execution}/{offer.block}".encode()
        self.offers[crc32(key) % BLOCK_PARTITIONS].append(offer)

    def move(self, rng: Random) -> None:
        self.generation += 1
        self.owners = [rng.randrange(WORKERS) for _ in self.owners]

    @property
    def drained(self) -> bool:
        return all(at == len(offers) for at, offers in zip(self.committed, self.offers, strict=True))


@dataclass(slots=True)
class Outside:
    """What others have seen of us: replies by execution, effects by key, loop chunks and objects by name, leased rows.

    `claims` are the effects that may happen once: who claimed each, and until when; `once` is how often each happened.
    `leases` are the rows that each claim holds, by execution, step and epoch, then by the claim's key.
    """

    replies: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    applied: dict[str, int] = field(default_factory=dict)
    effects: dict[tuple[int, BlockId], set[str]] = field(default_factory=lambda: defaultdict(set))
    store: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    objects: dict[str, Value] = field(default_factory=dict)
    leases: dict[tuple[int, str, int], dict[str, list[int]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    claims: dict[str, tuple[str, float]] = field(default_factory=dict)
    once: Counter[str] = field(default_factory=Counter)
    stopped: set[int] = field(default_factory=set)

    def apply(self, execution: int, block: BlockId, key: str) -> None:
        """A service that honours idempotency keys: the second call with one key changes nothing."""
        self.applied.setdefault(key, 0)
        self.applied[key] = 1
        self.effects[execution, block].add(key)

    def lease(self, offer: Offer, rows: int, most: int, key: str) -> list[int]:
        """The next `most` of `rows` rows, for whoever claims them; a claim made again gets those that it has."""
        held = self.leases[offer.execution, offer.block.step, offer.block.epoch]
        if key not in held:
            first = sum(len(each) for each in held.values())
            held[key] = list(range(first, min(first + most, rows)))
        return held[key]


class World:
    """Virtual time, one seed, one partition. `fates` are the next appends' fates where a test wants them so."""

    def __init__(self, seed: int, faults: Faults, plans: Mapping[str, Plan], shelf: Shelf) -> None:
        self.rng, self.faults, self.plans = Random(seed), faults, plans
        self.now = 1_000.0
        self.log: list[Record] = []
        self.encoded: dict[int, bytes] = {}
        self.limbo: list[Record] = []
        self.fates: deque[Fate] = deque()
        self.group, self.blocks, self.outside, self.shelf = Group(), BlockTopic(), Outside(), shelf
        self.paused: dict[str, float] = {}
        self.trace: list[tuple[float, str, object]] = []
        self.broken: list[str] = []
        self.runs = 0

    def plan_of(self, request: ExecutionRequested) -> Plan:
        return self.plans[request.path]

    def chance(self, fault: Fault) -> bool:
        """Whether it happens now. What never happens draws nothing, so that calm runs stay comparable."""
        likely: float = getattr(self.faults, fault)
        return likely > 0.0 and self.rng.random() < likely

    def append(self, machine: int, event: Event, who: str) -> int | None:
        """The offset, or None where the sender is left not knowing what became of the record."""
        record, fate = Record(machine, event, self.now), self._fate()
        offset = self.land(record, who) if fate in ("acknowledged", "lost_ack") else None
        if fate == "delay":
            self.limbo.append(record)
        if fate != "acknowledged":
            self.note(f"{who}: {type(event).__name__}: {fate}")
        return offset if fate == "acknowledged" else None

    def _fate(self) -> Fate:
        if self.fates:
            return self.fates.popleft()
        fates: tuple[Fate, ...] = ("drop", "delay", "lost_ack")
        return next((fate for fate in fates if fate != "acknowledged" and self.chance(fate)), "acknowledged")

    def land(self, record: Record, who: str) -> int:
        """Durable from here on."""
        self.log.append(record)
        offset = len(self.log) - 1
        self.note(f"{offset:3} {who}: {record.machine % 1000:03}", record.event)
        return offset

    def note(self, text: str, subject: object = "") -> None:
        """A line of the trace; what costs time to show is shown when somebody looks."""
        self.trace.append((self.now, text, subject))

    def story(self) -> str:
        return "\n".join(f"t={at:.0f} {text} {subject}" for at, text, subject in self.trace)
