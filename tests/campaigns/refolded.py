"""A replay beside what its owner had in memory: every checkpoint is what folding the log from its beginning comes to."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from noetl_stream.core.partition import Partition, evolve
from noetl_stream.core.snapshot import dump, state_hash
from noetl_stream.ids import partition_of
from noetl_stream.orchestrator.restore import event_of
from noetl_stream.wire.codec import decode, machine_of
from noetl_stream.wire.records import Checkpoint
from tests.integration.client import Client

EVERY = 500
"""Records between two looks at the state's size."""


@dataclass(slots=True)
class Refolded:
    """An execution's last state by its hash, the bytes of its largest, and a line for each checkpoint that differs."""

    state_hash: str = ""
    largest: int = 0
    differ: list[str] = field(default_factory=list)


async def refolded(client: Client, execution: int) -> Refolded:
    """Fold its partition from zero."""
    topic = client.platform.topics.events
    partition = partition_of(execution, topic.partitions)
    kept = await _checkpoints(client, partition, execution)
    state, found = Partition(), Refolded()
    stop = await client.platform.reader.end(topic.name, partition)
    async for record in client.platform.reader.read(topic.name, partition, 0, stop):
        folded = evolve(state, machine_of(record), event_of(record), record.offset)
        if folded.machine is not None and folded.machine.id == execution and folded.machine.over:
            found.state_hash = state_hash(folded.machine)
        if record.offset % EVERY == 0 and execution in state.machines:
            found.largest = max(found.largest, len(dump(state.machines[execution])))
        for body in kept.pop(record.offset, ()):
            if body != dump(state.machines[execution]):
                found.differ.append(f"the checkpoint at {record.offset} differs from the log")
    return found


async def _checkpoints(client: Client, partition: int, execution: int) -> dict[int, list[bytes]]:
    """The states that owners wrote down, by the offset up to which they had folded."""
    reader, topic = client.platform.reader, client.platform.topics.checkpoints.name
    found: defaultdict[int, list[bytes]] = defaultdict(list)
    async for record in reader.read(topic, partition, 0, await reader.end(topic, partition)):
        kept = decode(record.value) if record.value is not None else None
        if isinstance(kept, Checkpoint) and kept.machine == execution:
            found[kept.offset].append(kept.body)
    return found
