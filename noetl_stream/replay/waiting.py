"""Who waits for somebody outside: every block that asks, of all executions or of one, folded from the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from noetl_stream.core.address import Address
from noetl_stream.core.events import BlockId, BlockParked, BlocksReported, Callback, Event
from noetl_stream.core.execution import Execution
from noetl_stream.core.located import asked
from noetl_stream.core.partition import Partition
from noetl_stream.core.tokens import Token
from noetl_stream.core.values import Value
from noetl_stream.ids import partition_of
from noetl_stream.ports.log import Reader
from noetl_stream.replay.telling import tell_all
from noetl_stream.wire.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A block that waits for an answer: since and until when (seconds since the epoch), and what it asks.

    `address` is how people name it: STEP, STEP[17], STEP#2[17].
    """

    path: str
    address: str
    token: Token
    since: float
    until: float | None
    ask: Value


async def waiting(reader: Reader, topics: Topics, execution: int | None = None) -> AsyncIterator[Asking]:
    """Every block that asks at the log's present end, partition by partition; of one execution, if it is named."""
    count = topics.events.partitions
    for number in range(count) if execution is None else (partition_of(execution, count),):
        state, since = Partition(), dict[tuple[int, BlockId], float]()
        async for told in tell_all(reader, topics, number, state):
            if told.folded.verdict == "accepted":
                since |= {(told.machine, block): at for block, at in _parked(told.event)}
        for machine, found in state.machines.items():
            if execution in (None, machine):
                for key in found.blocks:
                    if (asking := asked(found, key)) is not None:
                        yield _asking(found, *asking, since[machine, key])


def _parked(event: Event) -> list[tuple[BlockId, float]]:
    facts = event.facts if isinstance(event, BlocksReported) else (event,)
    return [(fact.block, fact.time) for fact in facts if isinstance(fact, BlockParked)]


def _asking(found: Execution, token: Token, wait: Callback, since: float) -> Asking:
    key = token.block
    iteration = key.iteration if found.runs[key.step].loop else None
    address = Address(step=key.step, epoch=key.epoch or None, iteration=iteration)
    return Asking(
        path=found.request.path,
        address=str(address),
        token=token,
        since=since,
        until=wait.until,
        ask=wait.ask,
    )
