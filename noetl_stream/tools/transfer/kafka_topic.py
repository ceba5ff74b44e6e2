"""One topic of one cluster, as both of its ends have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noetl_stream.ports.brokers import Brokers, Cluster, Drained, Outgoing, Range
from noetl_stream.tools.transfer.bridge import Bridge


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What the loop's clients do with it, called by a thread. Raises ToolError."""

    name: str
    cluster: Cluster
    brokers: Brokers
    bridge: Bridge

    def drain(self, wanted: Range) -> Drained:
        return self.bridge.run(self.brokers.drain(self.cluster, self.name, wanted))

    def produce(self, records: Sequence[Outgoing]) -> None:
        self.bridge.run(self.brokers.produce(self.cluster, self.name, records))
