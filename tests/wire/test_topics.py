"""The topics' promises: counts that are fixed for ever, retention that outlives what depends on it."""

from __future__ import annotations

import pytest

from noetl_stream.errors import InfrastructureError
from noetl_stream.wire.topics import BLOCK_RETENTION_MS, CONTROL_RETENTION_MS, Topics


def test_the_log_and_the_catalog_are_kept_for_ever() -> None:
    for topic in (Topics().events, Topics().catalog, Topics().frames):
        assert topic.config == {"cleanup.policy": "delete", "retention.ms": "-1"}


def test_checkpoints_are_compacted_in_the_same_numbered_partitions_as_their_events() -> None:
    topics = Topics(partitions=5)

    assert topics.checkpoints.config == {"cleanup.policy": "compact", "segment.bytes": "16777216"}
    assert topics.checkpoints.partitions == topics.events.partitions == 5


def test_a_hint_outlives_the_oldest_offer_that_it_could_concern() -> None:
    assert CONTROL_RETENTION_MS > BLOCK_RETENTION_MS


def test_a_cluster_acknowledges_with_one_replica_to_spare() -> None:
    events = Topics.cluster().events

    assert (events.partitions, events.replication) == (128, 3)
    assert events.config["min.insync.replicas"] == "2"


@pytest.mark.parametrize(("brokers", "copies"), [(1, 1), (3, 3), (7, 3)])
def test_unless_told_otherwise_a_cluster_keeps_three_copies_and_one_broker_one(
    brokers: int, copies: int
) -> None:
    spread = Topics().events.spread(brokers)

    assert (spread.name, spread.replication) == ("noetl.events", copies)
    assert spread.config.get("min.insync.replicas") == ("2" if copies == 3 else None)


def test_two_live_brokers_of_an_unknown_number_are_no_reason_to_keep_two_copies() -> None:
    """The third may be down just now, and a topic keeps the copies that it was created with."""
    with pytest.raises(InfrastructureError, match=r"would have 3 copies, and 2 .* NOETL_STREAM_REPLICATION"):
        Topics().events.spread(2)

    assert Topics(replication=2).events.spread(2).replication == 2


def test_more_copies_than_brokers_are_refused() -> None:
    with pytest.raises(InfrastructureError, match=r"noetl\.events is to have 3 copies, and 1 of"):
        Topics(replication=3).events.spread(1)


def test_any_two_of_many_copies_are_enough_to_acknowledge() -> None:
    assert Topics(replication=5).events.config["min.insync.replicas"] == "2"


def test_every_topic_carries_the_prefix_and_its_own_name() -> None:
    names = [topic.name for topic in Topics(prefix="acme.").all(pools=("default", "gpu"))]

    assert len(names) == len(set(names))
    assert all(name.startswith("acme.") for name in names)
    assert {"acme.blocks.default", "acme.blocks.gpu", "acme.dead-letters"} < set(names)


def test_a_priority_is_a_lane_of_its_own() -> None:
    assert Topics().blocks("gpu", "high").name == "noetl.blocks.gpu.high"
    assert Topics().blocks("gpu").name == Topics().blocks("gpu", "normal").name == "noetl.blocks.gpu"


def test_a_pool_has_every_lane_the_most_urgent_first() -> None:
    lanes = [topic.name for topic in Topics().lanes("gpu")]

    assert lanes == ["noetl.blocks.gpu.high", "noetl.blocks.gpu", "noetl.blocks.gpu.low"]
    assert set(lanes) < {topic.name for topic in Topics().all(pools=("gpu",))}


def test_a_priority_from_before_there_were_lanes_is_as_urgent_as_any() -> None:
    assert Topics().blocks("gpu", "urgent") == Topics().blocks("gpu")
