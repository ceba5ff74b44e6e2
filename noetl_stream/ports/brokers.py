"""Kafka clusters as tasks reach them: users' own, found by a credential. The platform's topics are `ports.log`'s."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from noetl_stream.ports.log import Record

Mechanism: TypeAlias = Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"]
Offsets: TypeAlias = Mapping[int, int]
"""By partition."""
EFFECT_HEADER: Final = "noetl-effect-key"
"""By this header of a record a consumer knows one that came twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where a cluster is and as whom to go there. The password shows in no text of this value."""

    bootstrap: str
    tls: ssl.SSLContext | None = None
    mechanism: Mechanism | None = None
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A record to be sent. Without a partition its key decides, as every client of Kafka does it."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What to read of a topic. `start` and `stop` are offsets by partition, times in milliseconds, or an end of the log.

    What is appended after the reading began is not waited for. `group`: from where this group has committed, if it has.
    """

    partitions: Sequence[int] | None = None
    start: Offsets | int | Literal["earliest", "latest"] = "earliest"
    stop: Offsets | int | None = None
    most: int = 10_000
    most_bytes: int = 64 << 20
    seconds: float = 10.0
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What was read, and the offset in each partition to go on from. `complete`: there was no more in the range."""

    records: Sequence[Record]
    next: Offsets
    complete: bool


class Brokers(Protocol):
    """Connects for each call, and disconnects.

    Raises ToolError: `connection`, `auth`, `client_error` (`unknown_topic`, `too_large`), `timeout`.
    """

    async def produce(
        self, cluster: Cluster, topic: str, records: Sequence[Outgoing]
    ) -> Sequence[tuple[int, int]]:
        """Append, acknowledged by all replicas in sync: (partition, offset) of each."""
        ...

    async def drain(self, cluster: Cluster, topic: str, wanted: Range) -> Drained: ...
    async def commit(self, cluster: Cluster, topic: str, group: str, offsets: Offsets) -> None:
        """Say that a group, of which nobody is connected, has read up to these offsets, exclusive."""
        ...
