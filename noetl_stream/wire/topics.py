"""Which topics there are, and what each promises: partitions, cleanup, retention. Created explicitly, never by use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from noetl_stream.core.lanes import LANES, in_lane, lane_of
from noetl_stream.errors import InfrastructureError

COPIES = 3
"""What a cluster keeps of each topic unless told otherwise: one broker may fail while another is being restarted."""
_COPIES_TO_ACKNOWLEDGE = 2

_DAY_MS = 24 * 60 * 60 * 1000
_FOR_EVER = -1

REQUEST_RETENTION_MS = 7 * _DAY_MS
BLOCK_RETENTION_MS = 7 * _DAY_MS
"""Far above the ten minutes after which an unanswered offer is sent again."""
CONTROL_RETENTION_MS = BLOCK_RETENTION_MS + _DAY_MS
"""A hint outlives the oldest offer that it could concern."""
COMPACTED_SEGMENT_BYTES = 16 << 20
"""Compaction leaves the segment that grows alone, and a restore reads all of it: by default up to 1 GiB."""
DEAD_LETTER_RETENTION_MS = 30 * _DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic. `retention_ms` is None where compaction alone bounds it, -1 for ever.

    `fixed` says that readers or writers rest on the partition count: another one is an error, not a preference.
    `replication` None leaves the number of copies to `spread`.
    """

    name: str
    partitions: int
    replication: int | None
    fixed: bool = False
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int | None = None

    @property
    def config(self) -> Mapping[str, str]:
        """The settings to create it with, in Kafka's own names."""
        settings: dict[str, str] = {"cleanup.policy": self.cleanup}
        if self.cleanup == "compact":
            settings["segment.bytes"] = str(COMPACTED_SEGMENT_BYTES)
        if self.retention_ms is not None:
            settings["retention.ms"] = str(self.retention_ms)
        if self.replication is not None and self.replication > _COPIES_TO_ACKNOWLEDGE:
            settings["min.insync.replicas"] = str(_COPIES_TO_ACKNOWLEDGE)
        return settings

    def spread(self, brokers: int) -> Topic:
        """This topic with the copies that a cluster of so many live brokers is to keep of it.

        Raises InfrastructureError if it cannot, or if two brokers leave a choice that is not ours to make.
        """
        if self.replication is not None and self.replication > brokers:
            raise InfrastructureError(
                f"{self.name} is to have {self.replication} copies, and {brokers} of the cluster's brokers answer; "
                f"start more brokers, or set NOETL_STREAM_REPLICATION to {brokers} or less"
            )
        if self.replication is None and 1 < brokers < COPIES:
            raise InfrastructureError(
                f"{self.name} would have {COPIES} copies, and {brokers} of the cluster's brokers answer; "
                "start the others, or say with NOETL_STREAM_REPLICATION how many copies are enough"
            )
        return self if self.replication else replace(self, replication=min(COPIES, brokers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The topics of one installation. `partitions` is the event log's count: fixed for ever at creation.

    `replication` None: three copies, or one where there is one broker.
    """

    prefix: str = "noetl."
    partitions: int = 8
    replication: int | None = None

    @classmethod
    def cluster(cls, prefix: str = "noetl.") -> Topics:
        """For an Apache Kafka of three brokers or more."""
        return cls(prefix=prefix, partitions=128, replication=3)

    @property
    def requests(self) -> Topic:
        return self._topic("requests", self.partitions, retention_ms=REQUEST_RETENTION_MS)

    @property
    def events(self) -> Topic:
        return self._topic("events", self.partitions, fixed=True, retention_ms=_FOR_EVER)

    @property
    def catalog(self) -> Topic:
        return self._topic("catalog", 1, fixed=True, retention_ms=_FOR_EVER)

    @property
    def keychain(self) -> Topic:
        return self._topic("keychain", 1, fixed=True, cleanup="compact")

    @property
    def checkpoints(self) -> Topic:
        """A machine's checkpoints stand in the partition with the same number as its events'."""
        return self._topic("checkpoints", self.partitions, fixed=True, cleanup="compact")

    @property
    def frames(self) -> Topic:
        return self._topic("frames", self.partitions, retention_ms=_FOR_EVER)

    @property
    def schemas(self) -> Topic:
        return self._topic("schemas", 1, fixed=True, cleanup="compact")

    @property
    def control(self) -> Topic:
        return self._topic("control", 1, fixed=True, retention_ms=CONTROL_RETENTION_MS)

    @property
    def dead_letters(self) -> Topic:
        return self._topic("dead-letters", 1, retention_ms=DEAD_LETTER_RETENTION_MS)

    def blocks(self, pool: str, priority: str | None = None) -> Topic:
        """The offers to one pool, in the lane of their priority. The normal one has the pool's plain name."""
        name = in_lane(f"blocks.{pool}", lane_of(priority))
        return self._topic(name, self.partitions, retention_ms=BLOCK_RETENTION_MS)

    def lanes(self, pool: str) -> tuple[Topic, ...]:
        """The topics of one pool, the most urgent first."""
        return tuple(self.blocks(pool, lane) for lane in LANES)

    def all(self, pools: Iterable[str] = ("default",)) -> tuple[Topic, ...]:
        """Every topic of an installation with these pools."""
        return (
            self.requests,
            self.events,
            self.catalog,
            self.keychain,
            self.checkpoints,
            self.frames,
            self.schemas,
            self.control,
            self.dead_letters,
            *(lane for pool in pools for lane in self.lanes(pool)),
        )

    def _topic(
        self,
        name: str,
        partitions: int,
        *,
        fixed: bool = False,
        cleanup: Literal["delete", "compact"] = "delete",
        retention_ms: int | None = None,
    ) -> Topic:
        return Topic(
            name=self.prefix + name,
            partitions=partitions,
            replication=self.replication,
            fixed=fixed,
            cleanup=cleanup,
            retention_ms=retention_ms,
        )
