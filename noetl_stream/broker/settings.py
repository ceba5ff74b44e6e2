"""What can be set about a broker. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from noetl_stream.broker.tls import Tls
from noetl_stream.commitlog.fsync import FsyncPolicy

CLEANING_INTERVAL = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Defaults are Kafka's, but for the short first rebalance: one machine's members come at once."""

    host: str = "127.0.0.1"
    port: int = 0
    advertised_host: str | None = None
    """What clients are told to connect to; None: the address at which each has come."""
    metrics_port: int | None = None
    """Where 127.0.0.1 serves /metrics; 0 takes a free port, None serves nothing."""
    fsync: FsyncPolicy = "commit"
    fsync_interval: float = 0.05
    """Under `interval`: how long records may wait for the disk, which is what a power loss may take."""
    auto_create_topics: bool = True
    default_partitions: int = 1
    max_request_bytes: int = 100 * 1024 * 1024
    max_connections: int = 2000
    max_connections_per_address: int | None = None
    max_connection_rate: float | None = None
    """New connections a second; more must wait at the door."""
    connections_max_idle: float = 600.0
    transfer_timeout: float = 30.0
    """For a request that has begun, or an answer, to go over the wire, and a second more for each MiB."""
    tls: Tls | None = None
    sasl: bool = False
    """Whether clients must log in, by SCRAM or, over TLS, by PLAIN."""
    initial_rebalance_delay: float = 0.1
    min_session_timeout: float = 6.0
    max_session_timeout: float = 1800.0
    max_group_size: int = 1000
    """Kafka's is unlimited; members wait in memory, and each rebalance tells the leader of all of them."""
    max_transaction_timeout: float = 900.0
    offsets_retention: float = 7 * 86_400.0
    transactional_id_expiration: float = 7 * 86_400.0
    producer_id_expiration: float = 86_400.0
    expiry_interval: float = 600.0
    """How often the last three are looked after."""
    cleaning_interval: float = CLEANING_INTERVAL
    """How long retention and compaction rest when nothing is left to do."""
    cleaning_keys: int = 256 * 1024
    """How many keys one pass of compaction may hold in memory, at 30 bytes each."""
    rewrite_journal_above: int = 1024 * 1024
    """Bytes below which the journal is not rewritten while the broker runs."""
