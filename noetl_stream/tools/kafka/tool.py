"""The kafka tool: records sent to a topic, or a bounded part of one as a table."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel

from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import EFFECT_HEADER, Brokers, Cluster, Outgoing, Range
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.kafka.address import Reach, cluster_for
from noetl_stream.tools.kafka.config import KafkaConfig
from noetl_stream.tools.kafka.ranges import start_of, stop_of
from noetl_stream.tools.running_time import running_time


class Kafka:
    """`kind: kafka`."""

    kind: ClassVar[str] = "kafka"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = KafkaConfig

    def __init__(self, brokers: Brokers | None, reach: Reach) -> None:
        self._brokers, self._reach = brokers, reach

    async def run(self, call: Call) -> Done:
        cluster = await cluster_for(call, call.config.topic, self._reach)
        brokers = connected(self._brokers)
        async with running_time(self.kind, call.timeout):
            if call.config.operation == "produce":
                return Done(value=await _produce(brokers, cluster, call))
            return Done(value=await _consume(brokers, cluster, call.config))

    async def close(self) -> None:
        """Each call closes its own connections."""


def connected(brokers: Brokers | None) -> Brokers:
    """Raises ToolError where nobody gave the tools a way to Kafka."""
    if brokers is None:
        raise ToolError("this worker has no way to Kafka; run the task on another one", kind="not_installed")
    return brokers


async def _produce(brokers: Brokers, cluster: Cluster, call: Call) -> dict[str, Any]:
    records = _outgoing(call)
    places = await brokers.produce(cluster, call.config.topic, records)
    by_partition: dict[int, list[int]] = {}
    for partition, offset in places:
        by_partition.setdefault(partition, []).append(offset)
    return {
        "topic": call.config.topic,
        "count": len(places),
        "partitions": [
            {"partition": partition, "count": len(offsets), "first": min(offsets), "last": max(offsets)}
            for partition, offsets in sorted(by_partition.items())
        ],
    }


def _outgoing(call: Call) -> list[Outgoing]:
    # fastavro and Arrow are loaded by the first task, not to know what tools there are.
    from noetl_stream.tools.kafka.values import encoder, rows_of, text_key

    config: KafkaConfig = call.config
    encode = encoder(config.format, config.avro_schema)
    many = config.values if config.values is not None else call.input.get("values")
    if config.value is None and many is None and config.key is None:
        raise ToolError(
            "produce needs a `value`, or `values`; a `key` alone is a tombstone", kind="validation"
        )
    values = [config.value] if config.value is not None or many is None else rows_of(many)
    headers = [(name, text_key(value) or b"") for name, value in config.headers.items() if value is not None]
    single = len(values) == 1
    return [
        Outgoing(
            key=text_key(_key(config, value)),
            value=encode(value),
            headers=[
                *headers,
                (EFFECT_HEADER, (call.effect_key if single else f"{call.effect_key}/{number}").encode()),
            ],
            partition=config.partition,
        )
        for number, value in enumerate(values)
    ]


def _key(config: KafkaConfig, value: Any) -> Any:
    if config.key_field is None:
        return config.key
    if not isinstance(value, dict) or config.key_field not in value:
        raise ToolError(
            f"a value has no field '{config.key_field}' for its key; name another", kind="validation"
        )
    return value[config.key_field]


async def _consume(brokers: Brokers, cluster: Cluster, config: KafkaConfig) -> dict[str, Any]:
    from noetl_stream.tools.kafka.values import decoded, decoder, table_from

    decode = decoder(config.format, config.avro_schema)
    wanted = Range(
        partitions=config.partitions,
        start=start_of(config.start),
        stop=stop_of(config.stop),
        most=config.max_messages,
        most_bytes=config.max_bytes,
        seconds=config.timeout_ms / 1000,
    )
    found = await brokers.drain(cluster, config.topic, wanted)
    values = [decoded(record, decode, config.format) for record in found.records]
    table = table_from(found.records, values)
    return {
        "topic": config.topic,
        "rows": table,
        "columns": table.column_names,
        "row_count": table.num_rows,
        "next": {str(partition): offset for partition, offset in found.next.items()},
        "complete": found.complete,
    }
