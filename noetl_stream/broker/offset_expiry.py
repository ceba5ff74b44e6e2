"""Which committed positions have stood for too long, by Kafka's rules (KIP-211)."""

from __future__ import annotations

from collections.abc import Mapping, Set

from noetl_stream.broker.entries import GroupChanged
from noetl_stream.broker.offsets import Position, TopicPartition


def expired(
    positions: Mapping[TopicPartition, Position],
    known: GroupChanged | None,
    subscribed: Set[str] | None,
    before: int,
) -> list[TopicPartition]:
    """The positions of a group that have been of no use since `before`, a time in milliseconds.

    Those of an empty group count from when it became empty, or from a later commit. Those of a group that never had
    members count from their commit. A group with members keeps the positions of the topics it is `subscribed` to
    (all of them where that is not known); the others count from their commit.
    """
    if known is not None and known.empty_since < 0:
        if subscribed is None:
            return []
        positions = {at: position for at, position in positions.items() if at.topic not in subscribed}
    empty_since = -1 if known is None else known.empty_since
    return [at for at, position in positions.items() if max(position.at, empty_since) < before]
