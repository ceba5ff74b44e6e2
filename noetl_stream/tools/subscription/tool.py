"""The subscription tool: a bounded number of messages from a source that remembers who has read what."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel

from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import Brokers
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.kafka.address import Reach
from noetl_stream.tools.running_time import running_time
from noetl_stream.tools.subscription.config import SubscriptionConfig


class Source(Protocol):
    """Where messages come from. A message is `{id, data, headers, metadata}`; an id is text, and all that `settle` needs."""

    async def poll(self) -> list[dict[str, Any]]: ...
    async def settle(self, ids: list[str], how: Literal["ack", "nack"]) -> None: ...


class Subscription:
    """`kind: subscription`."""

    kind: ClassVar[str] = "subscription"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = SubscriptionConfig

    def __init__(self, brokers: Brokers | None, reach: Reach) -> None:
        self._brokers, self._reach = brokers, reach

    async def run(self, call: Call) -> Done:
        async with running_time(self.kind, call.timeout):
            return Done(value=await _run(await self._source(call), call.config))

    async def close(self) -> None:
        """Each call closes its own connections."""

    async def _source(self, call: Call) -> Source:
        match call.config.source:
            case "kafka":
                from noetl_stream.tools.subscription.from_kafka import KafkaSource

                return await KafkaSource.of(call, self._brokers, self._reach)
            case "nats":
                return _nats(call, allow_private=self._reach.allow_private)
            case other:
                raise ToolError(
                    f"source '{other}' is not available in this version; use kafka or nats",
                    kind="not_installed",
                )


def _nats(call: Call, *, allow_private: bool) -> Source:
    try:
        from noetl_stream.tools.subscription.from_nats import NatsSource
    except ModuleNotFoundError as error:
        raise ToolError(
            "source 'nats' is not installed; pip install 'noetl-stream[nats]'", kind="not_installed"
        ) from error
    return NatsSource(call, allow_private=allow_private)


async def _run(source: Source, config: SubscriptionConfig) -> dict[str, Any]:
    if config.operation == "poll":
        messages = await source.poll()
        if config.ack and messages:
            await source.settle([each["id"] for each in messages], "ack")
        return {
            "status": "ok" if messages else "empty",
            "source": config.source,
            "count": len(messages),
            "messages": messages,
            "acked": len(messages) if config.ack else 0,
        }
    ids = [_id(each) for each in config.ids]
    if ids:
        await source.settle(ids, config.operation)
    acked = len(ids) if config.operation == "ack" else 0
    return {"status": "ok", "source": config.source, "count": len(ids), "messages": [], "acked": acked}


def _id(given: Any) -> str:
    found = given.get("id") if isinstance(given, dict) else given
    if not isinstance(found, str):
        raise ToolError(
            "`ids` holds something that is no message; give it those of a poll", kind="validation"
        )
    return found
