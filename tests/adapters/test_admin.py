"""Topics are created as defined, and an event log with another partition count is never used."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from noetl_stream.adapters.admin import ensure_topics, standing_topics
from noetl_stream.errors import InfrastructureError
from noetl_stream.wire.topics import Topics

pytestmark = pytest.mark.slow


async def test_what_is_missing_is_created_and_then_left_alone(bootstrap: str) -> None:
    topics = Topics(prefix="admin.", partitions=3).all()

    assert await ensure_topics(bootstrap, topics) == tuple(topic.name for topic in topics)
    assert await ensure_topics(bootstrap, topics) == ()


async def test_an_event_log_with_another_partition_count_is_refused(bootstrap: str) -> None:
    topics = Topics(prefix="count.", partitions=3)
    await ensure_topics(bootstrap, topics.all())

    with pytest.raises(InfrastructureError, match=r"count\.events has 3 partitions, not 4"):
        await ensure_topics(bootstrap, replace(topics, partitions=4).all())


async def test_a_block_topic_may_have_been_given_more_partitions(bootstrap: str) -> None:
    topics = Topics(prefix="more.", partitions=3)
    await ensure_topics(bootstrap, [replace(topics.blocks("default"), partitions=9)])

    assert await ensure_topics(bootstrap, [topics.blocks("default")]) == ()


async def test_a_broker_that_refuses_a_topic_is_quoted(bootstrap: str) -> None:
    narrow = replace(Topics(prefix="bad/name ").catalog)

    with pytest.raises(InfrastructureError, match="did not create bad/name catalog: InvalidTopic"):
        await ensure_topics(bootstrap, [narrow])


async def test_a_running_broker_is_not_waited_for(bootstrap: str) -> None:
    assert await standing_topics(bootstrap, "nobody has these.", timeout=5.0) == ()


async def test_a_silent_broker_is_passed_over_for_one_that_answers(bootstrap: str) -> None:
    """Which of them is asked first is chance: in three tries the silent one is, but for one time in eight."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        both = f"127.0.0.1:{silent.getsockname()[1]},{bootstrap}"
        for _ in range(3):
            assert await standing_topics(both, "nobody has these.", timeout=3.0) == ()


async def test_a_missing_broker_is_one_sentence_with_the_next_step() -> None:
    with pytest.raises(InfrastructureError) as caught:
        await standing_topics("127.0.0.1:1", "", timeout=0.3)

    assert str(caught.value) == (
        "no Kafka broker answers at 127.0.0.1:1 after 0.3 s; is it running? "
        "Start one with `noetl-stream up`, or name another with --bootstrap"
    )
