"""Every client's first minute: which topics and partitions there are, and where their leader and coordinator are.

The answer to each "where" is this broker, by the very address at which the client reached it, so that binding to
every interface works too.
"""

from __future__ import annotations

from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topic import Topic, check_name
from noetl_stream.broker.topics import Topics
from noetl_stream.commitlog.refusal import Refused, storing

NODE_ID = 1
CLUSTER_ID = "noetl-stream-embedded"
LEADER_EPOCH = 0
"""There is no other leader to be elected, so the first one's term never ends."""

# Bit sets of Kafka's AclOperation: without ACLs everyone may do everything that can be done to the resource.
_TOPIC_OPERATIONS = sum(1 << operation for operation in (3, 4, 5, 6, 7, 8, 10, 11))
_CLUSTER_OPERATIONS = sum(1 << operation for operation in (5, 7, 8, 9, 10, 11, 12))
_NOT_ASKED_FOR = -(1 << 31)

_GROUP, _TRANSACTION = 0, 1
_MAY_LEAVE_OUT_NAMES = 12
_BROKERS = 1


class Metadata:
    """Answers Metadata, FindCoordinator and DescribeCluster."""

    def __init__(self, topics: Topics, *, auto_create: bool) -> None:
        self._topics, self._auto_create = topics, auto_create

    async def metadata(self, request: Request) -> Fields:
        body = request.body
        operations = topic_operations(getattr(body, "include_topic_authorized_operations", False))
        everything = body.topics is None or (request.version == 0 and not body.topics)
        topics = (
            map(described, self._topics)
            if everything
            else [await self._wanted(request, t) for t in body.topics]
        )
        return {
            "brokers": [{**_this_broker(request), "rack": None}],
            "cluster_id": CLUSTER_ID,
            "controller_id": NODE_ID,
            "topics": [{**topic, "topic_authorized_operations": operations} for topic in topics],
            "cluster_authorized_operations": _cluster_operations(body),
            "error_code": ErrorCode.none,
        }

    async def _wanted(self, request: Request, wanted: Any) -> Fields:
        """A topic by its name or, in the later versions, by its id alone."""
        body, topic_id = request.body, getattr(wanted, "topic_id", None)
        if wanted.name is None and request.version < _MAY_LEAVE_OUT_NAMES:
            return not_described(ErrorCode.invalid_request, "", topic_id)
        try:
            if wanted.name is None:
                return described(self._topics.by_id(topic_id))
            check_name(wanted.name)
            if self._auto_create and getattr(body, "allow_auto_topic_creation", True):
                with storing(ErrorCode.kafka_storage_error):
                    return described(await self._topics.ensure(wanted.name))
            return described(self._topics.topic(wanted.name))
        except Refused as refused:
            return not_described(refused.code, wanted.name, topic_id)

    async def find_coordinator(self, request: Request) -> Fields:
        """One broker coordinates all groups and transactions; of other kinds it knows nothing."""
        body = request.body
        known = getattr(body, "key_type", _GROUP) in (_GROUP, _TRANSACTION)
        here: Fields = {
            **(_this_broker(request) if known else {"node_id": -1, "host": "", "port": -1}),
            "error_code": ErrorCode.none if known else ErrorCode.invalid_request,
            "error_message": None,
        }
        return {
            **here,
            "coordinators": [{**here, "key": key} for key in getattr(body, "coordinator_keys", ())],
        }

    async def describe_cluster(self, request: Request) -> Fields:
        is_of_brokers = getattr(request.body, "endpoint_type", _BROKERS) == _BROKERS
        broker = _this_broker(request)
        here = {"broker_id": NODE_ID, "host": broker["host"], "port": broker["port"], "is_fenced": False}
        return {
            "error_code": ErrorCode.none if is_of_brokers else ErrorCode.mismatched_endpoint_type,
            "error_message": None
            if is_of_brokers
            else "This is the endpoint of a broker, not of a controller.",
            "cluster_id": CLUSTER_ID if is_of_brokers else "",
            "controller_id": NODE_ID if is_of_brokers else -1,
            "brokers": [here] if is_of_brokers else [],
            "cluster_authorized_operations": _cluster_operations(request.body),
        }


def described(topic: Topic) -> Fields:
    """A topic with all its partitions."""
    return {
        "error_code": ErrorCode.none,
        "name": topic.name,
        "topic_id": topic.id,
        "is_internal": False,
        "partitions": [partition(index) for index in range(len(topic.partitions))],
    }


def not_described(code: ErrorCode, name: str | None, topic_id: Any = None) -> Fields:
    """Why there is nothing to say about a topic."""
    return {"error_code": code, "name": name, "topic_id": topic_id, "is_internal": False, "partitions": []}


def partition(index: int) -> Fields:
    """Where a partition is led and kept: here."""
    return {
        "error_code": ErrorCode.none,
        "partition_index": index,
        "leader_id": NODE_ID,
        "leader_epoch": LEADER_EPOCH,
        "replica_nodes": (NODE_ID,),
        "isr_nodes": (NODE_ID,),
        "eligible_leader_replicas": (),
        "last_known_elr": (),
        "offline_replicas": (),
    }


def topic_operations(wanted: bool) -> int:
    """What this client may do to a topic, as Kafka's bit set, if it asked."""
    return _TOPIC_OPERATIONS if wanted else _NOT_ASKED_FOR


def check_leader_epoch(believed: int) -> None:
    """A client may say which leader's term it believes in; -1 says nothing.

    Raises:
        Refused: a term that has not begun.
    """
    if believed > LEADER_EPOCH:
        raise Refused(ErrorCode.unknown_leader_epoch)


def _cluster_operations(body: Any) -> int:
    wanted = getattr(body, "include_cluster_authorized_operations", False)
    return _CLUSTER_OPERATIONS if wanted else _NOT_ASKED_FOR


def _this_broker(request: Request) -> Fields:
    connection = request.connection
    return {"node_id": NODE_ID, "host": connection.broker_host, "port": connection.broker_port}
