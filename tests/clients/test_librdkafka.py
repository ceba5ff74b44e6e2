"""librdkafka, by `confluent-kafka`: the client of most languages that are neither Java nor Go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from tests.contract.batches import AN_HOUR_AGO
from tests.contract.clients import LIMIT, fresh

BASE = AN_HOUR_AGO


@pytest.fixture
def admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap})


@pytest.fixture
def topic(admin: AdminClient) -> str:
    """A topic of four partitions, each with its leader."""
    return new_topic(admin, 4)


def new_topic(admin: AdminClient, partitions: int, **settings: str) -> str:
    topic = fresh("rdkafka")
    config = {name.replace("_", "."): value for name, value in settings.items()}
    admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(LIMIT)
    wait_until_led(admin, topic, partitions)
    return topic


def wait_until_led(admin: AdminClient, topic: str, partitions: int) -> None:
    """Return once every partition has a leader that answers: Apache Kafka's take their time after they are made."""
    ends = {TopicPartition(topic, index): OffsetSpec.latest() for index in range(partitions)}
    last = time.monotonic() + LIMIT
    while time.monotonic() < last:
        try:
            for future in admin.list_offsets(ends).values():
                future.result(LIMIT)
            return
        except KafkaException as error:
            refused = error
    raise refused


@contextmanager
def consumer(bootstrap: str, group: str, **options: Any) -> Iterator[Consumer]:
    """A consumer that begins at the beginning; `session_timeout_ms` is `session.timeout.ms`."""
    named = {name.replace("_", "."): value for name, value in options.items()}
    defaults = {"auto.offset.reset": "earliest", "enable.auto.commit": False, "session.timeout.ms": 6000}
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": group, **defaults, **named})
    try:
        yield reader
    finally:
        reader.close()


def read(reader: Consumer, count: int) -> list[Message]:
    """The next `count` records."""
    records: list[Message] = []
    while len(records) < count:
        record = reader.poll(LIMIT)
        assert record is not None, f"{len(records)} of {count} records came"
        assert record.error() is None, record.error()
        records.append(record)
    return records


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_an_idempotent_producers_records_come_back_in_order(
    bootstrap: str, admin: AdminClient, codec: str
) -> None:
    topic = new_topic(admin, 1)
    delivered: list[int | None] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": codec,
            "linger.ms": 5,
        }
    )
    for i in range(1000):
        producer.produce(
            topic,
            b"value %d" % i * 20,
            key=b"k" if i % 2 else None,
            headers=[("i", b"%d" % i), ("empty", None)],
            timestamp=BASE + i,
            on_delivery=lambda _, record: delivered.append(record.offset()),
        )
    assert producer.flush(LIMIT) == 0
    assert delivered == list(range(1000))

    with consumer(bootstrap, fresh("group")) as reader:
        reader.subscribe([topic])
        records = read(reader, 1000)
    assert [record.value() for record in records] == [b"value %d" % i * 20 for i in range(1000)]
    assert [record.timestamp()[1] for record in records] == [BASE + i for i in range(1000)]
    assert records[7].headers() == [("i", b"7"), ("empty", None)]
    assert (records[0].key(), records[1].key()) == (None, b"k")


def test_transactions_are_all_or_nothing(bootstrap: str, topic: str) -> None:
    group = fresh("group")
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": fresh("txn")})
    producer.init_transactions(LIMIT)
    with consumer(bootstrap, group) as reader:
        for value, offset, end in (
            (b"kept", 7, producer.commit_transaction),
            (b"lost", 9, producer.abort_transaction),
            (b"last", 8, producer.commit_transaction),
        ):
            producer.begin_transaction()
            producer.produce(topic, value, partition=0)
            producer.flush(LIMIT)  # an abort would take back what has not been sent
            producer.send_offsets_to_transaction(
                [TopicPartition(topic, 3, offset)], reader.consumer_group_metadata(), LIMIT
            )
            end(LIMIT)
            if offset == 9:
                [position] = reader.committed([TopicPartition(topic, 3)], LIMIT)
                assert position.offset == 7

    with consumer(bootstrap, fresh("group"), isolation_level="read_committed") as reader:
        reader.assign([TopicPartition(topic, 0, 0)])
        assert [record.value() for record in read(reader, 2)] == [b"kept", b"last"]
    with consumer(bootstrap, fresh("group"), isolation_level="read_uncommitted") as reader:
        reader.assign([TopicPartition(topic, 0, 0)])
        assert [record.value() for record in read(reader, 3)] == [b"kept", b"lost", b"last"]


def test_a_producers_successor_fences_it(bootstrap: str, topic: str) -> None:
    settings = {"bootstrap.servers": bootstrap, "transactional.id": fresh("txn")}
    first, second = Producer(settings), Producer(settings)
    first.init_transactions(LIMIT)
    first.begin_transaction()
    first.produce(topic, b"zombie", partition=0)
    first.flush(LIMIT)
    second.init_transactions(LIMIT)

    with pytest.raises(KafkaException) as refused:
        first.commit_transaction(LIMIT)
    assert refused.value.args[0].code() in {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH}

    second.begin_transaction()
    second.produce(topic, b"successor", partition=0)
    second.commit_transaction(LIMIT)
    with consumer(bootstrap, fresh("group"), isolation_level="read_committed") as reader:
        reader.assign([TopicPartition(topic, 0, 0)])
        assert read(reader, 1)[0].value() == b"successor"


class Member:
    """A consumer that polls in a thread of its own, and what it holds."""

    def __init__(self, bootstrap: str, topic: str, group: str, **options: Any) -> None:
        self._changed, self._stop = threading.Condition(), threading.Event()
        self._arguments = (bootstrap, group, options)
        self._topic = topic
        self.held: set[int] = set()
        self.revocations: list[set[int]] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Member:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        bootstrap, group, options = self._arguments
        with consumer(bootstrap, group, heartbeat_interval_ms=300, **options) as reader:
            reader.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked)
            while not self._stop.is_set():
                reader.poll(0.1)

    def _assigned(self, _: Consumer, places: list[TopicPartition]) -> None:
        with self._changed:
            self.held |= {place.partition for place in places}
            self._changed.notify_all()

    def _revoked(self, _: Consumer, places: list[TopicPartition]) -> None:
        with self._changed:
            self.revocations.append({place.partition for place in places})
            self.held -= self.revocations[-1]
            self._changed.notify_all()

    def wait_until(self, holds: Callable[[set[int]], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.held), LIMIT), self.held


def test_a_cooperative_group_moves_only_what_has_to_move(bootstrap: str, topic: str) -> None:
    group, strategy = fresh("group"), {"partition_assignment_strategy": "cooperative-sticky"}
    with Member(bootstrap, topic, group, **strategy) as first:
        first.wait_until(lambda held: len(held) == 4)
        with Member(bootstrap, topic, group, **strategy) as second:
            second.wait_until(lambda held: len(held) == 2)
            first.wait_until(lambda held: len(held) == 2)
            assert first.held | second.held == {0, 1, 2, 3}
            assert first.revocations == [second.held]
        first.wait_until(lambda held: len(held) == 4)


def test_a_static_member_comes_back_to_its_partitions_unnoticed(bootstrap: str, topic: str) -> None:
    group = fresh("group")
    with Member(bootstrap, topic, group, group_instance_id="one") as one:
        one.wait_until(lambda held: len(held) == 4)
        with Member(bootstrap, topic, group, group_instance_id="two") as two:
            two.wait_until(lambda held: len(held) == 2)
            one.wait_until(lambda held: len(held) == 2)
            before, revocations = set(two.held), len(one.revocations)
        with Member(bootstrap, topic, group, group_instance_id="two") as two:
            two.wait_until(lambda held: held == before)
            assert len(one.revocations) == revocations


def test_offsets_are_found_by_time_and_place(bootstrap: str, admin: AdminClient, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for i in range(10):
        producer.produce(topic, b"v", partition=1, timestamp=BASE + i * 1000)
    producer.flush(LIMIT)
    at = TopicPartition(topic, 1)

    with consumer(bootstrap, fresh("group")) as reader:
        assert reader.get_watermark_offsets(at, LIMIT) == (0, 10)
        [found] = reader.offsets_for_times([TopicPartition(topic, 1, BASE + 4500)], LIMIT)
        assert found.offset == 5

    specs = (
        OffsetSpec.earliest(),
        OffsetSpec.latest(),
        OffsetSpec.max_timestamp(),
        OffsetSpec.for_timestamp(BASE),
    )
    answers = [
        admin.list_offsets({at: spec}, isolation_level=IsolationLevel.READ_COMMITTED)[at].result(LIMIT)
        for spec in specs
    ]
    assert [answer.offset for answer in answers] == [0, 10, 9, 0]


def test_an_administrator_changes_topics_and_their_settings(admin: AdminClient, topic: str) -> None:
    resource = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("retention.ms", "5000", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND),
        ],
    )
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result(LIMIT)
    [described] = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    settings = described.result(LIMIT)
    admin.create_partitions([NewPartitions(topic, 6)])[topic].result(LIMIT)
    wanted = TopicCollection([topic])
    while len((grown := admin.describe_topics(wanted)[topic].result(LIMIT)).partitions) != 6:
        pass  # Apache Kafka's brokers learn of a change a little after it was acknowledged
    cluster = admin.describe_cluster().result(LIMIT)
    admin.delete_topics([topic])[topic].result(LIMIT)

    assert settings["retention.ms"].value == "5000"
    assert settings["cleanup.policy"].value == "delete,compact"
    assert (grown.name, {part.id for part in grown.partitions}) == (topic, set(range(6)))
    assert cluster.controller.id in {node.id for node in cluster.nodes}


def test_an_administrator_sees_groups_moves_their_offsets_and_deletes_them(
    bootstrap: str, admin: AdminClient, topic: str
) -> None:
    group = fresh("group")
    with Member(bootstrap, topic, group) as member:
        member.wait_until(lambda held: len(held) == 4)
        described = admin.describe_consumer_groups([group])[group].result(LIMIT)
    listed = admin.list_consumer_groups(states={ConsumerGroupState.EMPTY}).result(LIMIT)

    assert (described.state, len(described.members)) == (ConsumerGroupState.STABLE, 1)
    assert len(described.members[0].assignment.topic_partitions) == 4
    assert group in {found.group_id for found in listed.valid}

    moved = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 5)])
    admin.alter_consumer_group_offsets([moved])[group].result(LIMIT)
    asked = ConsumerGroupTopicPartitions(group)
    [position] = admin.list_consumer_group_offsets([asked])[group].result(LIMIT).topic_partitions
    assert (position.topic, position.partition, position.offset) == (topic, 0, 5)

    admin.delete_consumer_groups([group])[group].result(LIMIT)
    with pytest.raises(KafkaException) as refused:
        admin.delete_consumer_groups([group])[group].result(LIMIT)
    assert refused.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND


def test_an_administrator_deletes_records(bootstrap: str, admin: AdminClient, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for _ in range(10):
        producer.produce(topic, b"v", partition=2)
    producer.flush(LIMIT)

    [deleted] = admin.delete_records([TopicPartition(topic, 2, 4)]).values()

    assert deleted.result(LIMIT).low_watermark == 4
    with consumer(bootstrap, fresh("group")) as reader:
        assert reader.get_watermark_offsets(TopicPartition(topic, 2), LIMIT) == (4, 10)
