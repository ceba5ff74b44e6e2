"""Facts into the event log. An orchestrator in the same process hears of each as soon as it is durable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from noetl_stream.core.events import Event, Fact
from noetl_stream.ids import partition_of
from noetl_stream.ports.log import Appender
from noetl_stream.wire.codec import encode
from noetl_stream.wire.topics import Topic

Listener: TypeAlias = Callable[[int, int, int, Event], None]
"""Told (partition, offset, execution, event)."""


class KafkaFactLog:
    """A `ports.facts.FactLog`. `listener` may be set once the process has an orchestrator."""

    def __init__(self, log: Appender, topic: Topic) -> None:
        self._log, self._topic = log, topic
        self.listener: Listener | None = None

    async def report(self, execution: int, fact: Fact) -> None:
        partition = partition_of(execution, self._topic.partitions)
        offset = await self._log.append(
            self._topic.name,
            encode(fact),
            key=str(execution).encode(),
            partition=partition,
            headers={"noetl-execution": str(execution), "noetl-type": type(fact).__name__},
        )
        if self.listener is not None:
            self.listener(partition, offset, execution, fact)
