"""What a broker still knows after it was stopped, or was cut off at the worst moment."""

from __future__ import annotations

import datetime
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import OffsetAndMetadata

from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.entries import TransactionChanged
from noetl_stream.broker.journal import read_journal, rewrite_journal
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.errors import InfrastructureError
from tests.broker.client import RawClient

_T0 = TopicPartition("t", 0)


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def _producer(bootstrap: str, **settings: object) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=bootstrap, **settings)


@asynccontextmanager
async def _consumer(bootstrap: str, **settings: object) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, **settings)
    async with consumer:
        consumer.assign([_T0])
        yield consumer


async def _values(bootstrap: str, count: int, **settings: object) -> list[bytes]:
    async with _consumer(bootstrap, auto_offset_reset="earliest", **settings) as consumer:
        return [(await consumer.getone()).value for _ in range(count)]


async def test_topics_records_and_positions_are_kept(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path) as broker:
        async with _admin(broker.bootstrap) as admin:
            await admin.create_topics([NewTopic("t", 1, 1, topic_configs={"retention.ms": "-1"})])
            await admin.create_partitions({"t": NewPartitions(3)})
        async with _producer(broker.bootstrap, enable_idempotence=True) as producer:
            for i in range(10):
                await producer.send_and_wait("t", b"%d" % i, partition=0)
        async with _consumer(broker.bootstrap, group_id="g") as consumer:
            await consumer.commit({_T0: OffsetAndMetadata(7, "note")})
        async with _admin(broker.bootstrap) as admin:
            await admin.delete_records({_T0: RecordsToDelete(before_offset=4)})

    async with EmbeddedBroker(tmp_path) as broker:
        async with _admin(broker.bootstrap) as admin:
            (topic,) = await admin.describe_topics(["t"])
            assert len(topic["partitions"]) == 3
            assert await _config(admin, "retention.ms") == "-1"
            assert (await admin.list_consumer_group_offsets("g"))[_T0] == OffsetAndMetadata(7, "note")
        async with _consumer(broker.bootstrap) as consumer:
            assert await consumer.beginning_offsets([_T0]) == {_T0: 4}
        assert await _values(broker.bootstrap, 6) == [b"%d" % i for i in range(4, 10)]


async def _config(admin: Any, name: str) -> str:
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "t")])
    configs: dict[str, str] = {config[0]: config[1] for config in response.resources[0][4]}
    return configs[name]


async def test_a_deleted_topic_takes_its_files_and_positions_with_it(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path) as broker:
        async with _producer(broker.bootstrap) as producer:
            await producer.send_and_wait("t", b"v")
        async with _consumer(broker.bootstrap, group_id="g") as consumer:
            await consumer.commit({_T0: OffsetAndMetadata(1, "")})
        async with _admin(broker.bootstrap) as admin:
            await admin.delete_topics(["t"])
        assert list((tmp_path / "logs").iterdir()) == []

    async with EmbeddedBroker(tmp_path) as broker, _admin(broker.bootstrap) as admin:
        assert "t" not in await admin.list_topics()
        assert await admin.list_consumer_group_offsets("g") == {}


async def test_the_journal_does_not_grow_with_restarts(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path) as broker, _consumer(broker.bootstrap, group_id="g") as consumer:
        for offset in range(200):
            await consumer.commit({_T0: OffsetAndMetadata(offset, "")})

    async with EmbeddedBroker(tmp_path):
        pass

    assert len(read_journal(tmp_path / "journal")) < 10


async def test_producer_ids_are_never_given_out_twice(tmp_path: Path) -> None:
    ids = []
    for _ in range(3):
        async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
            fields = {"transactional_id": None, "transaction_timeout": datetime.timedelta(seconds=1)}
            ids += [(await client.call(Api.INIT_PRODUCER_ID, 1, fields)).producer_id for _ in range(2)]

    assert len(set(ids)) == 6


@pytest.mark.parametrize(("decided", "seen"), [("PrepareCommit", [b"inside"]), ("PrepareAbort", [])])
async def test_a_decided_transaction_is_carried_out_after_a_crash(
    tmp_path: Path, decided: str, seen: list[bytes]
) -> None:
    """The broker died after the decision was durable and before any marker was."""
    async with EmbeddedBroker(tmp_path) as broker:
        producer = _producer(broker.bootstrap, transactional_id="x")
        await producer.start()
        await producer.begin_transaction()
        await producer.send_and_wait("t", b"inside", partition=0)
        await producer.send_offsets_to_transaction({_T0: OffsetAndMetadata(5, "")}, "g")
        ongoing = _transaction(tmp_path)
        await producer.abort_transaction()
        await producer.stop()
    _die_before_the_markers(tmp_path, ongoing, decided)

    async with EmbeddedBroker(tmp_path) as broker:
        async with _producer(broker.bootstrap) as producer:
            await producer.send_and_wait("t", b"after", partition=0)
        committed = await _values(broker.bootstrap, len(seen) + 1, isolation_level="read_committed")
        assert committed == [*seen, b"after"]
        async with _admin(broker.bootstrap) as admin:
            offsets = await admin.list_consumer_group_offsets("g")
        assert offsets == ({_T0: OffsetAndMetadata(5, "")} if seen else {})


def _transaction(data: Path) -> TransactionChanged:
    entries = [entry for entry in read_journal(data / "journal") if isinstance(entry, TransactionChanged)]
    assert entries[-1].state == "Ongoing"
    return entries[-1]


def _log(data: Path) -> Path:
    (log,) = data.glob("logs/t-*/0/*.log")
    return log


def _die_before_the_markers(data: Path, ongoing: TransactionChanged, decided: str) -> None:
    """Make the files what they were at that moment: the decision, one batch, no marker."""
    values = {name: getattr(ongoing, name) for name in ongoing.__dataclass_fields__}
    decision = TransactionChanged(**{**values, "state": decided})
    kept = [
        entry
        for entry in read_journal(data / "journal")
        if type(entry).__name__ in ("TopicCreated", "ProducerIdsReserved")
    ]
    rewrite_journal(data / "journal", [*kept, decision])
    log = _log(data)
    first_batch = 12 + int.from_bytes(log.read_bytes()[8:12], "big")
    log.write_bytes(log.read_bytes()[:first_batch])
    log.with_suffix(".index").unlink()  # written by the orderly stop that there was not


async def test_two_brokers_cannot_share_a_directory(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path) as broker:
        assert json.loads((tmp_path / "broker.json").read_text())["bootstrap"] == broker.bootstrap

        with pytest.raises(InfrastructureError, match=f"another broker uses .* at {broker.bootstrap}"):
            async with EmbeddedBroker(tmp_path):
                pass

    assert not (tmp_path / "broker.json").exists()
    async with EmbeddedBroker(tmp_path):
        pass


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path / "a") as broker:
        port = int(broker.bootstrap.rsplit(":")[1])

        with pytest.raises(
            InfrastructureError, match=f"cannot listen at 127.0.0.1:{port}.*choose another port"
        ):
            async with EmbeddedBroker(tmp_path / "b", settings=BrokerSettings(port=port)):
                pass


async def test_logs_without_their_journal_are_not_buried(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path) as broker, _producer(broker.bootstrap) as producer:
        await producer.send_and_wait("t", b"v")
    journal = (tmp_path / "journal").read_bytes()

    (tmp_path / "journal").unlink()
    with pytest.raises(InfrastructureError, match="is missing beside existing logs"):
        async with EmbeddedBroker(tmp_path):
            pass
    (tmp_path / "journal").write_bytes(b"")
    with pytest.raises(InfrastructureError, match="a topic that the journal does not know"):
        async with EmbeddedBroker(tmp_path):
            pass

    (tmp_path / "journal").write_bytes(journal)
    async with EmbeddedBroker(tmp_path) as broker:
        assert await _values(broker.bootstrap, 1) == [b"v"]


async def test_a_creation_cut_short_leaves_nothing_behind(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path):
        pass
    (tmp_path / "logs" / "t-123" / "0").mkdir(parents=True)
    (tmp_path / "logs" / "t-123" / "0" / "0.log").touch()

    async with EmbeddedBroker(tmp_path):
        assert list((tmp_path / "logs").iterdir()) == []


async def test_an_open_transaction_times_out_after_a_restart_too(tmp_path: Path) -> None:
    """Its producer died with the old broker; readers of committed records get on."""
    async with EmbeddedBroker(tmp_path) as broker:
        producer = _producer(broker.bootstrap, transactional_id="x", transaction_timeout_ms=500)
        await producer.start()
        await producer.begin_transaction()
        await producer.send_and_wait("t", b"forgotten", partition=0)
        journal = (tmp_path / "journal").read_bytes()
        log = _log(tmp_path)
        records = log.read_bytes()
        await producer.abort_transaction()
        await producer.stop()
    (tmp_path / "journal").write_bytes(journal)
    log.write_bytes(records)
    log.with_suffix(".index").unlink()

    async with EmbeddedBroker(tmp_path) as broker:
        async with _producer(broker.bootstrap) as producer:
            await producer.send_and_wait("t", b"after", partition=0)
        assert await _values(broker.bootstrap, 1, isolation_level="read_committed") == [b"after"]
