"""Who used which credential: every run's own word in the log, whether its outcome counted or came too late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from noetl_stream.core.events import (
    BlockCompleted,
    BlockContested,
    BlockFailed,
    BlockId,
    BlockParked,
    BlocksReported,
    CredentialUse,
    Event,
    ExecutionRequested,
    Report,
)
from noetl_stream.ports.log import Reader
from noetl_stream.replay.telling import decoded
from noetl_stream.wire.codec import machine_of
from noetl_stream.wire.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One run that resolved a credential. `at` is the run's own clock, seconds since the epoch."""

    at: float
    execution: int
    path: str
    block: BlockId
    credential: CredentialUse


async def uses(reader: Reader, topics: Topics, tenant: str) -> AsyncIterator[Use]:
    """All uses by a tenant's executions, partition by partition up to the log's present end."""
    for number in range(topics.events.partitions):
        requests, end = dict[int, ExecutionRequested](), await reader.end(topics.events.name, number)
        async for record in reader.read(topics.events.name, number, 0, end):
            if (event := decoded(record)) is None:
                continue
            execution = machine_of(record)
            if isinstance(event, ExecutionRequested):
                requests.setdefault(execution, event)
            request = requests.get(execution)
            if request is None or request.tenant != tenant:
                continue
            for report in _reports(event):
                for use in report.credentials:
                    yield Use(
                        at=report.time,
                        execution=execution,
                        path=request.path,
                        block=report.block,
                        credential=use,
                    )


def _reports(event: Event) -> Iterator[Report]:
    match event:
        case BlockCompleted() | BlockFailed() | BlockParked() | BlockContested():
            yield event
        case BlocksReported(facts=facts):
            for fact in facts:
                yield from _reports(fact)
