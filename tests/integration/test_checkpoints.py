"""Checkpoints bound what a new owner reads, and change nothing of what it knows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from noetl_stream.adapters.checkpoints import KafkaCheckpoints
from noetl_stream.adapters.kafka_log import KafkaReader
from noetl_stream.agents.roles import running
from noetl_stream.core.partition import Partition, evolve
from noetl_stream.core.snapshot import state_hash
from noetl_stream.orchestrator import checkpointing
from noetl_stream.orchestrator.restore import Restorer, event_of
from noetl_stream.orchestrator.saved import Saved
from noetl_stream.ports.log import Record
from noetl_stream.settings import Settings
from noetl_stream.wire.codec import machine_of
from tests.contract.clients import Kafka, eventually
from tests.integration.client import Client, installed
from tests.integration.test_kills import accepted, completions
from tests.integration.test_requests import GREET
from tests.integration.test_rolling_restart import LOOP

EVERY = 20
"""Records between two rounds."""
ITERATIONS = 120
THE_REST = ("orchestrator", "worker:default")
OPEN = f"{LOOP}  next: ask\n- {{step: ask, tool: {{kind: callback}}}}\n"
"""It has not ended when its owner stops, however much of the loop is done meanwhile."""


@dataclass(frozen=True)
class Counted:
    """A reader that notes every offset it gave."""

    reader: KafkaReader
    offsets: list[int]

    async def begin(self, topic: str, partition: int) -> int:
        return await self.reader.begin(topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        return await self.reader.end(topic, partition)

    async def at_time(self, topic: str, partition: int, timestamp: int) -> int | None:
        return await self.reader.at_time(topic, partition, timestamp)

    async def read(
        self, topic: str, partition: int, start: int, stop: int | None
    ) -> AsyncGenerator[Record, None]:
        async for record in self.reader.read(topic, partition, start, stop):
            self.offsets.append(record.offset)
            yield record


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """One partition, so that all is checkpointed together, and often."""
    monkeypatch.setattr(checkpointing, "RECORDS", EVERY)
    return settings.model_copy(update={"partitions": 1})


async def test_a_restore_reads_the_tail_alone_and_knows_what_a_fold_from_zero_knows(
    settings: Settings,
) -> None:
    async with installed(settings, "intake") as client:
        async with running(client.platform, THE_REST):
            await client.run(GREET)
            execution = await client.ask(await client.register(OPEN), {"count": ITERATIONS})
            await client.told(execution, until=completions(ITERATIONS * 3 // 4))
        saved = Saved.of(await _checkpoints(client).read(0), fence=0)
        restorer, offsets = _restorer(client)
        restored = await restorer.restore(0, 0, 0.0)
        records = await client.log_of(execution)

        assert saved.marker is not None
        assert execution in saved.checkpoints
        assert offsets == list(range(saved.marker.folded_to + 1, len(records)))
        assert len(offsets) < len(records) / 2
        assert state_hash(restored.owner.state) == state_hash(_from_zero(records))
        assert list(restored.owner.state.machines) == [execution]


async def test_a_loop_goes_on_from_its_checkpoint_and_an_ended_request_is_still_known(
    settings: Settings,
) -> None:
    replies = f"replies-{uuid4().hex[:8]}"
    async with installed(settings, "intake") as client:
        await client.register(GREET)
        async with running(client.platform, THE_REST):
            await client.ask("greet", key="once", reply_to=replies)
            execution = await client.ask(await client.register(LOOP), {"count": ITERATIONS})
            await client.told(execution, until=completions(ITERATIONS * 3 // 4))
        async with running(client.platform, THE_REST):
            told = await client.told(execution)
            results = (await client.results(await client.story(execution)))["each"]["results"]
            await client.ask("greet", {"who": "again"}, key="once", reply_to=replies)
            answers = [json.loads(record.value or b"") for record in await client.records(replies, 0, 2)]

    assert accepted(told) == Counter(f"each/0/{n}" for n in range(ITERATIONS))
    assert results == [n * n for n in range(ITERATIONS)]
    assert [answer["result"] for answer in answers] == ["hello nobody"] * 2


async def test_a_restore_from_compacted_checkpoints_knows_what_a_fold_from_zero_knows(
    settings: Settings,
) -> None:
    """Each checkpoint begins a segment here, so compaction leaves the newest of each machine and little else."""
    async with installed(settings, "intake") as client:
        await _compact_at_once(client)
        async with running(client.platform, THE_REST):
            execution = await client.ask(await client.register(LOOP), {"count": ITERATIONS})
            await client.told(execution, until=completions(ITERATIONS * 3 // 4))
        written, kept = await _compacted(client)
        restored = await _restorer(client)[0].restore(0, 0, 0.0)
        assert kept < written / 2
        assert state_hash(restored.owner.state) == state_hash(_from_zero(await client.log_of(execution)))
        async with running(client.platform, THE_REST):
            told = await client.told(execution)

    assert accepted(told) == Counter(f"each/0/{n}" for n in range(ITERATIONS))


async def _compact_at_once(client: Client) -> None:
    settings = {"cleanup.policy": "compact", "segment.ms": "1", "min.cleanable.dirty.ratio": "0.01"}
    kafka = Kafka(bootstrap=client.platform.settings.bootstrap)
    await kafka.alter(client.platform.topics.checkpoints.name, settings)


async def _compacted(client: Client) -> tuple[int, int]:
    """How many checkpoints and markers were written, and how many are left once there are far fewer."""
    reader, topic = client.platform.reader, client.platform.topics.checkpoints.name
    written, kept = await reader.end(topic, 0), 0

    async def far_fewer() -> bool:
        nonlocal kept
        kept = len([record async for record in reader.read(topic, 0, 0, written)])
        return kept < written / 2

    await eventually(far_fewer)
    return written, kept


def _checkpoints(client: Client) -> KafkaCheckpoints:
    platform = client.platform
    return KafkaCheckpoints(platform.log, platform.reader, platform.topics.checkpoints.name)


def _restorer(client: Client) -> tuple[Restorer, list[int]]:
    """As `wiring` makes it, over a reader that counts."""
    platform, offsets = client.platform, list[int]()
    restorer = Restorer(
        log=platform.log,
        reader=Counted(platform.reader, offsets),
        checkpoints=_checkpoints(client),
        plans=platform.plans,
        topic=platform.topics.events.name,
        name="the test",
    )
    return restorer, offsets


def _from_zero(records: list[Record]) -> Partition:
    state = Partition()
    for record in records:
        evolve(state, machine_of(record), event_of(record), record.offset)
    return state
