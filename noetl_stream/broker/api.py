"""Which requests the broker answers, and in which versions.

Clients pick the highest version both sides know. Each range ends where the next version would ask for something
a single broker has no use for (topic ids, batched coordinators, the broker-side group protocol).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Api(IntEnum):
    """Kafka's request keys, as in the protocol guide."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    CREATE_PARTITIONS = 37
    DELETE_GROUPS = 42
    INCREMENTAL_ALTER_CONFIGS = 44


class Versions(NamedTuple):
    """An inclusive range."""

    lowest: int
    highest: int

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.lowest <= version <= self.highest


SUPPORTED = {
    Api.PRODUCE: Versions(3, 9),
    Api.FETCH: Versions(4, 12),
    Api.LIST_OFFSETS: Versions(1, 7),
    Api.METADATA: Versions(0, 9),
    Api.OFFSET_COMMIT: Versions(2, 8),
    Api.OFFSET_FETCH: Versions(1, 7),
    Api.FIND_COORDINATOR: Versions(0, 3),
    Api.JOIN_GROUP: Versions(0, 9),
    Api.HEARTBEAT: Versions(0, 4),
    Api.LEAVE_GROUP: Versions(0, 5),
    Api.SYNC_GROUP: Versions(0, 5),
    Api.DESCRIBE_GROUPS: Versions(0, 5),
    Api.LIST_GROUPS: Versions(0, 4),
    Api.API_VERSIONS: Versions(0, 3),
    Api.CREATE_TOPICS: Versions(2, 6),
    Api.DELETE_TOPICS: Versions(1, 5),
    Api.DELETE_RECORDS: Versions(0, 2),
    Api.INIT_PRODUCER_ID: Versions(0, 4),
    Api.ADD_PARTITIONS_TO_TXN: Versions(0, 3),
    Api.ADD_OFFSETS_TO_TXN: Versions(0, 3),
    Api.END_TXN: Versions(0, 3),
    Api.TXN_OFFSET_COMMIT: Versions(0, 3),
    Api.DESCRIBE_CONFIGS: Versions(1, 4),
    Api.ALTER_CONFIGS: Versions(0, 2),
    Api.CREATE_PARTITIONS: Versions(0, 3),
    Api.DELETE_GROUPS: Versions(0, 2),
    Api.INCREMENTAL_ALTER_CONFIGS: Versions(0, 1),
}


def supported(key: int, version: int) -> Api | None:
    """The request meant by `key`, or None where this broker does not answer it in that version."""
    api = SUPPORTED_BY_KEY.get(key)
    return api if api is not None and version in SUPPORTED[api] else None


SUPPORTED_BY_KEY = {int(api): api for api in SUPPORTED}
