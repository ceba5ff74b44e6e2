"""One sound request of every kind that the broker answers, with the fields of all its versions."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from noetl_stream.broker.api import Api
from noetl_stream.broker.protocol import Fields
from tests.commitlog.samples import batch

_SECOND = datetime.timedelta(seconds=1)
_SESSION = datetime.timedelta(seconds=10)
TOPIC = "t"
TOPIC_ID = uuid.UUID(int=7)
"""Stands for the topic's id, which the broker chooses; `with_topic_id` puts the true one in its place."""
_PRODUCER = {"transactional_id": "x", "producer_id": 0, "producer_epoch": 0}
_MEMBER = {"group_id": "g", "member_id": "nobody", "generation_id": 1, "generation_id_or_member_epoch": 1}
_CONFIG = {"name": "retention.ms", "value": "1", "config_operation": 0}
_RESOURCE = {"resource_type": 2, "resource_name": TOPIC, "configuration_keys": None, "configs": [_CONFIG]}
_POSITIONS = {
    "group_id": "g",
    "member_id": None,
    "member_epoch": -1,
    "topics": [{"name": TOPIC, "topic_id": TOPIC_ID, "partition_indexes": (0,)}],
}
_COMMITTED = {"partition_index": 0, "committed_offset": 1, "committed_metadata": None}

REQUESTS: dict[Api, Fields] = {
    Api.PRODUCE: {
        "transactional_id": None,
        "acks": -1,
        "timeout": _SECOND,
        "topic_data": [
            {"name": TOPIC, "topic_id": TOPIC_ID, "partition_data": [{"index": 0, "records": batch(b"v")}]}
        ],
    },
    Api.FETCH: {
        "max_wait": _SECOND,
        "min_bytes": 1,
        "topics": [
            {
                "topic": TOPIC,
                "topic_id": TOPIC_ID,
                "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1000}],
            }
        ],
        "forgotten_topics_data": [],
    },
    Api.LIST_OFFSETS: {
        "replica_id": -1,
        "isolation_level": 1,
        "timeout": _SECOND,
        "topics": [{"name": TOPIC, "partitions": [{"partition_index": 0, "timestamp": -1}]}],
    },
    Api.METADATA: {
        "topics": [{"name": TOPIC, "topic_id": None}],
        "include_cluster_authorized_operations": False,
        "include_topic_authorized_operations": False,
    },
    Api.OFFSET_COMMIT: {
        **_MEMBER,
        "retention_time": _SECOND,
        "topics": [{"name": TOPIC, "topic_id": TOPIC_ID, "partitions": [_COMMITTED]}],
    },
    Api.OFFSET_FETCH: {**_POSITIONS, "groups": [_POSITIONS], "require_stable": True},
    Api.FIND_COORDINATOR: {"key": "g", "coordinator_keys": ("g", "h")},
    Api.JOIN_GROUP: {
        "group_id": "g",
        "session_timeout": _SESSION,
        "rebalance_timeout": _SECOND,
        "member_id": "",
        "group_instance_id": "i",
        "protocol_type": "consumer",
        "protocols": [{"name": "range", "metadata": b"m"}],
    },
    Api.HEARTBEAT: _MEMBER,
    Api.LEAVE_GROUP: {**_MEMBER, "members": [{"member_id": "nobody"}]},
    Api.SYNC_GROUP: {**_MEMBER, "assignments": []},
    Api.DESCRIBE_GROUPS: {"groups": ("g",), "include_authorized_operations": False},
    Api.LIST_GROUPS: {},
    Api.API_VERSIONS: {"client_software_name": "test", "client_software_version": "1"},
    Api.CREATE_TOPICS: {
        "topics": [
            {
                "name": "new",
                "num_partitions": 2,
                "replication_factor": 1,
                "assignments": [],
                "configs": [_CONFIG],
            }
        ]
    },
    Api.DELETE_TOPICS: {
        "topic_names": ("unknown",),
        "topics": [{"name": "unknown", "topic_id": None}],
        "timeout": _SECOND,
    },
    Api.DELETE_RECORDS: {
        "topics": [{"name": TOPIC, "partitions": [{"partition_index": 0, "offset": 0}]}],
        "timeout": _SECOND,
    },
    Api.INIT_PRODUCER_ID: {"transactional_id": "x", "transaction_timeout": _SECOND},
    Api.OFFSET_FOR_LEADER_EPOCH: {
        "topics": [{"topic": TOPIC, "partitions": [{"partition": 0, "leader_epoch": 0}]}],
    },
    Api.ADD_PARTITIONS_TO_TXN: {
        **{f"v3_and_below_{name}": value for name, value in _PRODUCER.items()},
        "v3_and_below_topics": [{"name": TOPIC, "partitions": (0,)}],
    },
    Api.ADD_OFFSETS_TO_TXN: {**_PRODUCER, "group_id": "g"},
    Api.END_TXN: {**_PRODUCER, "committed": True},
    Api.TXN_OFFSET_COMMIT: {
        **_PRODUCER,
        "group_id": "g",
        "topics": [{"name": TOPIC, "partitions": [_COMMITTED]}],
    },
    Api.DESCRIBE_CONFIGS: {
        "resources": [_RESOURCE],
        "include_synonyms": False,
        "include_documentation": False,
    },
    Api.ALTER_CONFIGS: {"resources": [_RESOURCE], "validate_only": False},
    Api.DESCRIBE_LOG_DIRS: {"topics": None},
    Api.SASL_HANDSHAKE: {"mechanism": "SCRAM-SHA-256"},
    Api.SASL_AUTHENTICATE: {"auth_bytes": b"n,,n=user,r=nonce"},
    Api.CREATE_PARTITIONS: {
        "topics": [{"name": TOPIC, "count": 3, "assignments": None}],
        "timeout": _SECOND,
        "validate_only": True,
    },
    Api.DELETE_GROUPS: {"groups_names": ("g",)},
    Api.INCREMENTAL_ALTER_CONFIGS: {"resources": [_RESOURCE], "validate_only": False},
    Api.LIST_PARTITION_REASSIGNMENTS: {"topics": None},
    Api.OFFSET_DELETE: {
        "group_id": "g",
        "topics": [{"name": TOPIC, "partitions": [{"partition_index": 0}]}],
    },
    Api.DESCRIBE_PRODUCERS: {"topics": [{"name": TOPIC, "partition_indexes": (0,)}]},
    Api.DESCRIBE_TRANSACTIONS: {"transactional_ids": ("x",)},
    Api.LIST_TRANSACTIONS: {"state_filters": ("Ongoing",), "producer_id_filters": ()},
    Api.DESCRIBE_CLUSTER: {"include_cluster_authorized_operations": True, "include_fenced_brokers": False},
    Api.LIST_CONFIG_RESOURCES: {},
    Api.DESCRIBE_TOPIC_PARTITIONS: {
        "topics": [{"name": TOPIC}],
        "response_partition_limit": 100,
        "cursor": None,
    },
}


def with_topic_id(fields: Any, topic_id: uuid.UUID) -> Any:
    """A request's fields that name the topic by its id."""
    match fields:
        case dict():
            return {name: with_topic_id(value, topic_id) for name, value in fields.items()}
        case list():
            return [with_topic_id(value, topic_id) for value in fields]
        case _:
            return topic_id if fields == TOPIC_ID else fields
