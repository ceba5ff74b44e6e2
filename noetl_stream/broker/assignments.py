"""Replica assignments that an administrator may give: on one broker there is only one that is right."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.metadata import NODE_ID
from noetl_stream.commitlog.refusal import Refused


def partition_count(wanted: Any) -> int:
    """How many partitions a topic is to have by its CreateTopics entry; -1 is the broker's default.

    Raises:
        Refused: replicas elsewhere than here, more than one of them, or partitions not counted from 0.
    """
    if not wanted.assignments:
        if wanted.replication_factor not in (-1, 1):
            raise Refused(
                ErrorCode.invalid_replication_factor, "There is one broker: the replication factor is 1."
            )
        return int(wanted.num_partitions)
    if wanted.replication_factor != -1 or wanted.num_partitions != -1:
        raise Refused(
            ErrorCode.invalid_request,
            "With a manual assignment the partition count and the replication factor are -1.",
        )
    if sorted(given.partition_index for given in wanted.assignments) != list(range(len(wanted.assignments))):
        raise Refused(
            ErrorCode.invalid_replica_assignment,
            "The assigned partitions must be 0, 1, 2 and so on, each once.",
        )
    for given in wanted.assignments:
        _check_replicas(given.broker_ids)
    return len(wanted.assignments)


def check_added(assignments: Sequence[Any] | None, added: int) -> None:
    """Check the assignments of a CreatePartitions entry that adds `added` partitions.

    Raises:
        Refused: replicas elsewhere than here, or not one assignment for each added partition.
    """
    if assignments is None:
        return
    if len(assignments) != added:
        raise Refused(
            ErrorCode.invalid_replica_assignment,
            f"{added} partitions would be added, but {len(assignments)} assignments are given.",
        )
    for given in assignments:
        _check_replicas(given.broker_ids)


def _check_replicas(brokers: Collection[int]) -> None:
    if list(brokers) != [NODE_ID]:
        raise Refused(
            ErrorCode.invalid_replica_assignment, f"The one replica of a partition is on broker {NODE_ID}."
        )
