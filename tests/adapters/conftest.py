"""Topics of a test's own on either broker, embedded or Apache Kafka, and an appender and a reader over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import pytest

from noetl_stream.adapters.admin import ensure_topics
from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.wire.topics import Topics

_tests = count()


@pytest.fixture
async def topics(bootstrap: str) -> Topics:
    """Topics under a prefix that no other test uses; the event log has two partitions."""
    topics = Topics(prefix=f"t{next(_tests)}.", partitions=2)
    await ensure_topics(bootstrap, topics.all())
    return topics


@pytest.fixture
async def appender(bootstrap: str) -> AsyncIterator[KafkaAppender]:
    appender = await KafkaAppender.open(bootstrap)
    yield appender
    await appender.close()


@pytest.fixture
async def reader(bootstrap: str) -> AsyncIterator[KafkaReader]:
    reader = KafkaReader(bootstrap)
    yield reader
    await reader.close()
