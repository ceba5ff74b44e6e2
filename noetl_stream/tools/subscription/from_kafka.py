"""Messages of a topic for a group: its committed offsets are what is done with, and nobody joins it for a poll."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import Brokers, Cluster, Range
from noetl_stream.ports.log import Record
from noetl_stream.ports.tools import Call
from noetl_stream.tools.http.body import parsed
from noetl_stream.tools.kafka.address import Reach, cluster_for
from noetl_stream.tools.kafka.tool import connected
from noetl_stream.tools.subscription.config import SubscriptionConfig


class KafkaSource:
    """Implements `Source`. An id is `topic/partition/offset`."""

    def __init__(self, config: SubscriptionConfig, cluster: Cluster, brokers: Brokers) -> None:
        self._config, self._topic = config, str(config.topic)
        self._cluster, self._brokers = cluster, brokers

    @classmethod
    async def of(cls, call: Call, brokers: Brokers | None, reach: Reach) -> KafkaSource:
        """Raises ToolError as `cluster_for`."""
        cluster = await cluster_for(call, str(call.config.topic), reach)
        return cls(call.config, cluster, connected(brokers))

    async def poll(self) -> list[dict[str, Any]]:
        seconds = self._config.timeout_ms / 1000
        wanted = Range(most=self._config.batch, seconds=seconds, group=self._config.group)
        found = await self._brokers.drain(self._cluster, self._topic, wanted)
        return [_message(record) for record in found.records]

    async def settle(self, ids: list[str], how: Literal["ack", "nack"]) -> None:
        """Acknowledged is all up to the last of them; what shall come again, all from the first of them on."""
        offsets: dict[int, int] = {}
        for partition, offset in self._places(ids):
            if how == "ack":
                offsets[partition] = max(offsets.get(partition, 0), offset + 1)
            else:
                offsets[partition] = min(offsets.get(partition, offset), offset)
        await self._brokers.commit(self._cluster, self._topic, str(self._config.group), offsets)

    def _places(self, ids: list[str]) -> Iterable[tuple[int, int]]:
        for each in ids:
            topic, _, place = each.rpartition("/")[0].rpartition("/")
            offset = each.rpartition("/")[2]
            if topic != self._topic or not place.isdigit() or not offset.isdigit():
                raise ToolError(
                    f"'{each}' is no message of topic '{self._topic}'; give `ids` those of a poll",
                    kind="validation",
                )
            yield int(place), int(offset)


def _text(header: bytes | None) -> str | None:
    """Kafka knows headers without a value."""
    return None if header is None else header.decode(errors="replace")


def _message(record: Record) -> dict[str, Any]:
    return {
        "id": f"{record.topic}/{record.partition}/{record.offset}",
        "data": parsed(record.value or b"", "", "utf-8"),
        "headers": {name: _text(value) for name, value in record.headers},
        "metadata": {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": parsed(record.key or b"", "text/plain", "utf-8"),
        },
    }
