"""Apache Kafka's own tools against the embedded broker: the Java client, its admin client and its group membership."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.children import ServerMissing
from tests.clients import java
from tests.clients.java import JavaTools, find_tools
from tests.contract.clients import Kafka, fresh

# The first of these may have Maven fetch the tools.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]


@pytest.fixture(scope="module")
def tools(embedded_bootstrap: str) -> JavaTools:
    try:
        return find_tools(embedded_bootstrap)
    except ServerMissing as missing:
        pytest.skip(f"Kafka's own tools cannot run: {missing}")


@pytest.fixture
def topic(embedded_bootstrap: str) -> str:
    """A topic of three partitions."""
    return asyncio.run(Kafka(bootstrap=embedded_bootstrap).topic(3, retention_ms="100000"))


def rows(table: str) -> list[list[str]]:
    """The lines of a printed table, by words."""
    return [line.split() for line in table.splitlines() if line.strip()]


def test_topics_are_created_altered_described_deleted_and_listed(tools: JavaTools) -> None:
    topic = fresh("java")
    tools.run(
        java.TOPICS, "--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=100000"
    )
    tools.run(java.TOPICS, "--alter", "--topic", topic, "--partitions", "4")
    described = tools.run(java.TOPICS, "--describe", "--topic", topic)
    tools.run(java.TOPICS, "--delete", "--topic", topic)
    listed = tools.run(java.TOPICS, "--list")

    assert "TopicId: " in described
    assert "PartitionCount: 4\tReplicationFactor: 1\tConfigs: retention.ms=100000" in described
    assert described.count("Leader: 1\tReplicas: 1\tIsr: 1\t") == 4
    assert topic not in listed.split()


def test_records_pass_from_producer_to_group_and_the_group_can_be_set_back(
    tools: JavaTools, topic: str
) -> None:
    group, typed = fresh("group"), "k1:v1\nk2:v2\nk3:v3\n"
    keyed = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
    tools.run(java.CONSOLE_PRODUCER, "--topic", topic, *keyed, "--compression-codec", "zstd", typed=typed)

    def read() -> list[str]:
        shown = ("--formatter-property", "print.key=true", "--formatter-property", "key.separator=:")
        return sorted(
            tools.run(
                java.CONSOLE_CONSUMER, "--topic", topic, "--group", group, "--from-beginning",
                "--max-messages", "3", "--timeout-ms", "20000", *shown,
            ).split()
        )  # fmt: skip

    assert read() == typed.split()

    [_, *positions] = [
        row for row in rows(tools.run(java.GROUPS, "--describe", "--group", group)) if len(row) > 7
    ]
    assert {row[0] for row in positions} == {group}
    assert sum(int(row[3]) for row in positions) == sum(int(row[4]) for row in positions) == 3
    assert [group, "Empty"] in rows(tools.run(java.GROUPS, "--list", "--state"))

    tools.run(
        java.GROUPS, "--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute"
    )
    assert read() == typed.split()

    tools.run(java.GROUPS, "--delete-offsets", "--group", group, "--topic", topic)
    assert "successful" in tools.run(java.GROUPS, "--delete", "--group", group)


def test_offsets_are_told_and_records_deleted(tools: JavaTools, topic: str, tmp_path: Path) -> None:
    tools.run(java.CONSOLE_PRODUCER, "--topic", topic, typed="one\ntwo\nthree\n")
    ends = {int(row[1]): int(row[2]) for row in offsets(tools, topic)}
    [partition] = [partition for partition, end in ends.items() if end]  # one batch, one partition
    assert ends[partition] == 3
    [[_, latest, offset]] = offsets(tools, topic, "--time", "max-timestamp")
    assert (int(latest), int(offset)) in {(partition, 0), (partition, 1), (partition, 2)}

    wanted = {"version": 1, "partitions": [{"topic": topic, "partition": partition, "offset": 2}]}
    (file := tmp_path / "records.json").write_text(json.dumps(wanted))
    assert "low_watermark: 2" in tools.run(java.DELETE_RECORDS, "--offset-json-file", str(file))

    assert [topic, str(partition), "2"] in offsets(tools, topic, "--time", "earliest")


def offsets(tools: JavaTools, topic: str, *arguments: str) -> list[list[str]]:
    return [line.split(":") for line in tools.run(java.OFFSETS, "--topic", topic, *arguments).split()]


def test_settings_are_changed_and_described(tools: JavaTools, topic: str) -> None:
    named = ("--entity-type", "topics", "--entity-name", topic)
    tools.run(
        java.CONFIGS, *named, "--alter", "--delete-config", "retention.ms",
        "--add-config", "cleanup.policy=compact,max.message.bytes=2000000",
    )  # fmt: skip

    own = tools.run(java.CONFIGS, *named, "--describe").splitlines()[1:]
    all_of_them = tools.run(java.CONFIGS, *named, "--describe", "--all").splitlines()[1:]
    brokers = tools.run(java.CONFIGS, "--entity-type", "brokers", "--entity-name", "1", "--describe", "--all")

    assert [line.split()[0] for line in own] == ["cleanup.policy=compact", "max.message.bytes=2000000"]
    assert "DEFAULT_CONFIG:message.max.bytes=1048588" in own[1]
    assert len(all_of_them) > 20
    assert "num.partitions=1" in brokers


def test_the_cluster_its_logs_transactions_and_versions_are_told(tools: JavaTools, topic: str) -> None:
    tools.run(java.CONSOLE_PRODUCER, "--topic", topic, typed="a line\n")
    [report] = [line for line in tools.run(java.LOG_DIRS, "--describe").splitlines() if line.startswith("{")]
    [[folder]] = [broker["logDirs"] for broker in json.loads(report)["brokers"]]
    sizes = {entry["partition"]: entry["size"] for entry in folder["partitions"]}
    identity = tools.run(java.CLUSTER_ID)
    [header, *_] = rows(tools.run(java.TRANSACTIONS, "list"))
    versions = tools.run(java.API_VERSIONS)

    assert sorted(sizes[f"{topic}-{index}"] > 0 for index in range(3)) == [False, False, True]
    assert "Cluster ID: " in identity
    assert header == ["TransactionalId", "Coordinator", "ProducerId", "TransactionState"]
    assert "Fetch(1): 4 to 18 [usable: 18]" in versions


def test_many_records_are_acknowledged_and_all_are_read(tools: JavaTools, topic: str) -> None:
    tools.run(
        java.PRODUCER_PERFORMANCE, "--topic", topic, "--num-records", "50000", "--record-size", "300",
        "--throughput", "-1", "--command-property", "compression.type=lz4",
    )  # fmt: skip
    acknowledged = events(
        tools.run(java.VERIFIABLE_PRODUCER, "--topic", topic, "--max-messages", "1000", "--acks", "-1")
    )
    sent = {(e["partition"], e["offset"]) for e in acknowledged if e["name"] == "producer_send_success"}

    assert acknowledged[-1]["acked"] == len(sent) == 1000
    assert sum(int(row[2]) for row in offsets(tools, topic)) == 51_000


def events(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("assignor", ["RangeAssignor", "CooperativeStickyAssignor"])
def test_two_java_consumers_share_a_group(tools: JavaTools, topic: str, assignor: str) -> None:
    """The second one joins, the first gives a part of its partitions up and takes them back when the second is killed."""
    group = fresh("group")
    joining = (
        "--topic", topic, "--group-id", group, "--reset-policy", "earliest", "--session-timeout", "6000",
        "--assignment-strategy", f"org.apache.kafka.clients.consumer.{assignor}",
    )  # fmt: skip
    with tools.consumer(*joining) as first:
        first.wait_until_it_holds(3)
        with tools.consumer(*joining) as second:
            second.wait_until_it_holds(1, 2)
            first.wait_until_it_holds(3 - len(second.held))
            assert first.held | second.held == {0, 1, 2}
        first.wait_until_it_holds(3)
