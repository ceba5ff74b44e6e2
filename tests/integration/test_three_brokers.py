"""Three brokers, one of them killed or paused under the demo: it completes, and nobody can tell from the result."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from noetl_stream.adapters.admin import ensure_topics, standing_topics
from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.errors import InfrastructureError
from noetl_stream.wire.topics import Topics
from tests.conftest import FOUND, missed
from tests.integration.demo import BLOCKS, Outcome
from tests.integration.three_brokers import Strike, struck
from tests.kafka_cluster import Unavailable
from tests.kafka_quorum import NODES, Quorum, resolve_quorum

pytestmark = [pytest.mark.slow, pytest.mark.kafka]

SEED = 20_131


@pytest.fixture(scope="module")
def three_brokers(pytestconfig: pytest.Config) -> Iterator[Quorum]:
    """A cluster of its own, for tests that strike it."""
    quorum = resolve_quorum()
    if isinstance(quorum, Unavailable):
        missed(pytestconfig, "three brokers", quorum.reason)
    pytestconfig.stash[FOUND]["three brokers"] = quorum.origin
    yield quorum
    quorum.stop()


@pytest.fixture
async def whole(three_brokers: Quorum) -> Quorum:
    """The cluster, all nodes up and every replica in sync."""
    await three_brokers.whole()
    return three_brokers


def strikes() -> list[Strike]:
    chance = random.Random(SEED)
    return [
        Strike(victim="leader", blow="kill", moment=chance.randrange(1, BLOCKS - 1)),
        Strike(victim="controller", blow="kill", moment=chance.randrange(1, BLOCKS - 1)),
        Strike(victim="coordinator", blow="kill", moment=chance.randrange(1, BLOCKS - 1)),
        Strike(victim="leader", blow="pause", moment=chance.randrange(1, BLOCKS - 1)),
    ]


@pytest.mark.parametrize("strike", strikes(), ids=str)
async def test_the_demo_completes_with_the_same_result_though_a_broker_is_struck(
    whole: Quorum, strike: Strike, tmp_path: Path, undisturbed: Outcome
) -> None:
    found = await struck(whole, strike, tmp_path)

    assert set(found.accepted.values()) == {1}
    assert found.accepted.total() == BLOCKS
    assert found.outcome.table.equals(undisturbed.table)
    assert found.outcome.summary == undisturbed.summary


async def test_an_append_waits_while_two_of_three_are_gone_and_stands_once_they_are_back(
    whole: Quorum,
) -> None:
    """One broker alone has the record, and may not acknowledge it: it does so when a second has it too."""
    topic = Topics(prefix="waiting.", partitions=1).catalog
    await ensure_topics(whole.bootstrap, [topic])
    leader = await whole.leader(topic.name, 0)
    gone = [whole.machines[node] for node in NODES if node != leader]
    appender, reader = await KafkaAppender.open(whole.bootstrap), KafkaReader(whole.bootstrap)
    await appender.append(topic.name, b"before", partition=0)

    for machine in gone:
        machine.crash()
    meanwhile = appender.append_soon(topic.name, b"meanwhile", partition=0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(meanwhile), 3.0)
    for machine in gone:
        machine.start()

    assert await meanwhile == 1
    assert await appender.append(topic.name, b"after", partition=0) == 2
    assert [r.value async for r in reader.read(topic.name, 0, 0, 3)] == [b"before", b"meanwhile", b"after"]
    await appender.close()
    await reader.close()


async def test_topics_get_three_copies_of_which_two_acknowledge(whole: Quorum) -> None:
    wanted = Topics(prefix="copies.", partitions=1).all()
    await ensure_topics(whole.bootstrap, wanted)

    # Another node than the one that created them may hear of them a moment later.
    while len(standing := await standing_topics(whole.bootstrap, "copies.")) < len(wanted):
        continue

    assert {topic.replication for topic in standing} == {3}
    assert {topic.settings["min.insync.replicas"] for topic in standing} == {"2"}


async def test_more_copies_than_brokers_are_refused_before_any_topic_is_created(whole: Quorum) -> None:
    topics = Topics(prefix="many.", partitions=1, replication=4)

    with pytest.raises(InfrastructureError, match="is to have 4 copies, and 3 of the cluster's brokers"):
        await ensure_topics(whole.bootstrap, topics.all())

    assert await standing_topics(whole.bootstrap, "many.") == ()
