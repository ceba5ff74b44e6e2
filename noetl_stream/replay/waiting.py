"""Who waits for somebody outside: every block that asks, of all executions or of one, folded from the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from noetl_stream.core.events import BlockId, BlockParked, BlocksReported, Callback, Event
from noetl_stream.core.execution import Execution
from noetl_stream.core.partition import Partition, evolve
from noetl_stream.core.tokens import Token, issue
from noetl_stream.core.values import Value
from noetl_stream.errors import IllegalTransition
from noetl_stream.ids import partition_of
from noetl_stream.ports.log import Reader
from noetl_stream.replay.telling import decoded
from noetl_stream.wire.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A block that waits for an answer: since and until when (seconds since the epoch), and what it asks."""

    path: str
    token: Token
    since: float
    until: float | None
    ask: Value

    @property
    def address(self) -> str:
        """As people name it: STEP, STEP[17], STEP#2[17]."""
        step, epoch, iteration = self.token.block
        return step + (f"#{epoch}" if epoch else "") + (f"[{iteration}]" if iteration else "")


async def waiting(reader: Reader, topics: Topics, execution: int | None = None) -> AsyncIterator[Asking]:
    """Every block that asks at the log's present end, partition by partition; of one execution, if it is named."""
    count = topics.events.partitions
    for number in range(count) if execution is None else (partition_of(execution, count),):
        state, since = Partition(), dict[tuple[int, BlockId], float]()
        end = await reader.end(topics.events.name, number)
        async for record in reader.read(topics.events.name, number, 0, end):
            event, machine = decoded(record), int(record.key or 0)
            if event is not None and _folded(state, machine, event, record.offset):
                since |= {(machine, block): at for block, at in _parked(event)}
        for machine, found in state.machines.items():
            if execution in (None, machine):
                for asking in _asking(found, since):
                    yield asking


def _folded(state: Partition, machine: int, event: Event, offset: int) -> bool:
    """Whether it counted. One that no owner could fold did nothing."""
    try:
        return evolve(state, machine, event, offset).verdict == "accepted"
    except IllegalTransition:
        return False


def _parked(event: Event) -> list[tuple[BlockId, float]]:
    facts = event.facts if isinstance(event, BlocksReported) else (event,)
    return [(fact.block, fact.time) for fact in facts if isinstance(fact, BlockParked)]


def _asking(found: Execution, since: dict[tuple[int, BlockId], float]) -> list[Asking]:
    return [
        Asking(
            path=found.request.path,
            token=issue(found.request.seed, found.id, key, block.attempt, block.segment - 1),
            since=since[found.id, key],
            until=block.wait.until,
            ask=block.wait.ask,
        )
        for key, block in found.blocks.items()
        if block.status == "asking" and isinstance(block.wait, Callback)
    ]
