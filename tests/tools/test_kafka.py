"""The kafka tool against the embedded broker: records out, a bounded part of a topic back, and who may go where."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from noetl_stream.adapters.user_kafka import UserKafka
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.users import Users
from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import EFFECT_HEADER, Cluster
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.kafka.address import Reach
from noetl_stream.tools.kafka.tool import Kafka
from noetl_stream.tools.kafka.values import decoder, encoder
from tests.tools.conftest import Run, call, new_topic, runner

SCHEMA = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "int"}]}


@pytest.fixture
async def topic(embedded_bootstrap: str) -> str:
    return await new_topic(embedded_bootstrap, 2)


def tool(**reach: Any) -> Kafka:
    return Kafka(UserKafka(), Reach(**reach))


def secret(bootstrap: str, *, provider: str | None = None, **fields: Any) -> Mapping[str, Secret]:
    return {"events": Secret("events", {"bootstrap_servers": bootstrap, **fields}, provider=provider)}


@pytest.fixture
def run(embedded_bootstrap: str) -> Run:
    return runner(tool(), credentials=secret(embedded_bootstrap))


async def test_a_table_becomes_records_and_records_a_table(run: Run, topic: str) -> None:
    orders = pa.table({"id": [1, 2, 3], "amount": [10.5, 20.0, None]})

    sent = await run({"operation": "produce", "topic": topic, "key_field": "id"}, input={"values": orders})
    found = await run({"operation": "consume", "topic": topic})

    rows = sorted(found["rows"].to_pylist(), key=lambda row: row["id"])
    assert sent["count"] == found["row_count"] == 3
    assert [(row["id"], row["amount"], row["_key"]) for row in rows] == [
        (1, 10.5, "1"),
        (2, 20.0, "2"),
        (3, None, "3"),
    ]
    assert found["complete"] is True
    assert sum(each["count"] for each in sent["partitions"]) == 3


async def test_a_record_says_which_effect_it_is(run: Run, topic: str) -> None:
    await run(
        {
            "operation": "produce",
            "topic": topic,
            "value": {"n": 1},
            "headers": {"kind": "new", "no": None},
            "partition": 1,
        },
        effect_key="e-42",
    )
    await run({"operation": "produce", "topic": topic, "values": [1, 2], "partition": 0}, effect_key="e-43")

    found = (await run({"operation": "consume", "topic": topic}))["rows"].to_pylist()

    headers = {
        (r["_partition"], r["_offset"]): {h["name"]: h["value"].decode() for h in r["_headers"]}
        for r in found
    }
    assert headers == {
        (1, 0): {"kind": "new", EFFECT_HEADER: "e-42"},
        (0, 0): {EFFECT_HEADER: "e-43/0"},
        (0, 1): {EFFECT_HEADER: "e-43/1"},
    }


@pytest.mark.parametrize(
    ("format", "value", "column"),
    [
        ("text", "früh", {"value": "früh"}),
        ("bytes", base64.b64encode(b"\x00\xff").decode(), {"value": b"\x00\xff"}),
        ("avro", {"id": 7}, {"id": 7}),
        ("json", [1, 2], {"value": [1, 2]}),
    ],
)
async def test_values_have_four_forms(run: Run, topic: str, format: str, value: Any, column: Any) -> None:
    config = {"topic": topic, "format": format, "avro_schema": SCHEMA if format == "avro" else None}

    await run({**config, "operation": "produce", "value": value})
    [row] = (await run({**config, "operation": "consume"}))["rows"].to_pylist()

    assert {name: row[name] for name in column} == column


async def test_no_values_are_no_records(run: Run, topic: str) -> None:
    sent = await run({"operation": "produce", "topic": topic, "values": []})

    assert sent == {"topic": topic, "count": 0, "partitions": []}


async def test_a_key_alone_is_a_tombstone(run: Run, topic: str) -> None:
    await run({"operation": "produce", "topic": topic, "key": "gone"})

    [row] = (await run({"operation": "consume", "topic": topic}))["rows"].to_pylist()

    assert (row["_key"], row["value"]) == ("gone", None)


async def test_a_reading_is_bounded_and_goes_on_where_it_stopped(run: Run, topic: str) -> None:
    await run(
        {"operation": "produce", "topic": topic, "values": [{"n": n} for n in range(5)], "partition": 0}
    )
    config = {"operation": "consume", "topic": topic, "partitions": [0]}

    first = await run({**config, "max_messages": 3})
    rest = await run({**config, "start": first["next"]})
    middle = await run({**config, "from": {"0": 1}, "to": {"0": 3}})
    early = await run({**config, "to": "2001-01-01"})
    late = await run({**config, "start": "2001-01-01T00:00:00Z"})

    read = [[row["n"] for row in each["rows"].to_pylist()] for each in (first, rest, middle, late)]
    assert read == [[0, 1, 2], [3, 4], [1, 2], [0, 1, 2, 3, 4]]
    assert (first["complete"], rest["complete"], early["row_count"]) == (False, True, 0)


@pytest.mark.parametrize(
    ("config", "sentence", "code"),
    [
        ({"operation": "produce", "value": 1, "topic": "no-such"}, "no topic 'no-such'", "unknown_topic"),
        ({"operation": "consume", "topic": "no-such"}, "no topic 'no-such'", "unknown_topic"),
        ({"operation": "produce", "value": 1, "partition": 9}, "no partition 9", "unknown_partition"),
        ({"operation": "consume", "start": {"0": 77}}, "holds the offsets 0 to 0", "offset_out_of_range"),
        ({"operation": "consume", "topic": "noetl.events"}, "belongs to", "refused_topic"),
        ({"operation": "consume", "topic": "__consumer_offsets"}, "belongs to", "refused_topic"),
        ({"operation": "produce"}, "needs a `value`", None),
        ({"operation": "produce", "values": 7}, "neither a table nor a list", None),
        ({"operation": "produce", "values": [1], "key_field": "id"}, "no field 'id'", None),
        ({"operation": "consume", "start": "soon"}, "neither `earliest`", None),
        ({"operation": "produce", "value": 1, "format": "avro", "avro_schema": "{}"}, "no Avro schema", None),
        (
            {"operation": "produce", "value": {"id": "x"}, "format": "avro", "avro_schema": SCHEMA},
            "written as avro",
            None,
        ),
    ],
)
async def test_a_mistake_is_one_sentence(
    run: Run, topic: str, config: Any, sentence: str, code: str | None
) -> None:
    with pytest.raises(ToolError, match=sentence) as found:
        await run({"topic": topic, **config})

    assert (found.value.kind, found.value.code) == ("client_error" if code else "validation", code)


async def test_a_topic_that_is_not_there_is_not_made(run: Run, topic: str) -> None:
    for _ in range(2):
        with pytest.raises(ToolError, match="no topic"):
            await run({"operation": "produce", "topic": f"{topic}-typo", "value": 1})


async def test_a_value_of_another_form_names_its_record(run: Run, topic: str) -> None:
    await run({"operation": "produce", "topic": topic, "value": "{", "format": "text", "partition": 1})

    with pytest.raises(ToolError, match=rf"{topic}\[1\]@0 does not read as json") as found:
        await run({"operation": "consume", "topic": topic})

    assert found.value.code == "unreadable_record"


async def test_a_login_is_shown_and_a_wrong_one_is_told_apart(tmp_path: Path) -> None:
    Users(tmp_path).set("ann", "s3cret-word")
    async with EmbeddedBroker(tmp_path, settings=BrokerSettings(fsync="none", sasl=True)) as broker:
        who = {"username": "ann", "sasl_mechanism": "scram-sha-256", "security_protocol": "SASL_PLAINTEXT"}
        right = secret(broker.bootstrap, **who, password="s3cret-word")
        wrong = secret(broker.bootstrap, **who, password="not-the-word")

        with pytest.raises(ToolError, match="no topic") as known:
            await runner(tool())({"operation": "consume", "topic": "t"}, credentials=right)
        for operation in ("consume", "produce"):
            with pytest.raises(ToolError, match="refuses the login as 'ann'") as refused:
                await runner(tool())({"operation": operation, "topic": "t", "value": 1}, credentials=wrong)
            assert (refused.value.kind, refused.value.retryable) == ("auth", False)
            assert "not-the-word" not in str(refused.value)

    assert known.value.code == "unknown_topic"


@pytest.mark.parametrize("operation", ["consume", "produce"])
async def test_brokers_that_are_not_there_are_a_connection_to_try_again(operation: str) -> None:
    with pytest.raises(ToolError, match=r"Kafka at 127\.0\.0\.1:1 failed") as found:
        await runner(tool())(
            {"operation": operation, "topic": "t", "value": 1}, credentials=secret("127.0.0.1:1")
        )

    assert (found.value.kind, found.value.retryable) == ("connection", True)


class TestReach:
    async def test_the_platforms_own_cluster_is_open_for_listed_topics_alone(
        self, embedded_bootstrap: str, topic: str
    ) -> None:
        own = Cluster(bootstrap=embedded_bootstrap)
        config = {"operation": "produce", "topic": topic, "value": 1}

        sent = await runner(tool(own=own, topics=("orders-*",)))(config)
        with pytest.raises(ToolError, match="NOETL_STREAM_KAFKA_TOPICS") as found:
            await runner(tool(own=own, topics=("other",)))(config)

        assert (sent["count"], found.value.kind) == (1, "credential")

    async def test_brokers_that_the_document_names_are_the_deployments_choice(
        self, embedded_bootstrap: str, topic: str
    ) -> None:
        written = secret(embedded_bootstrap, provider=DOCUMENT)
        config = {"operation": "consume", "topic": topic}

        with pytest.raises(ToolError, match="not reached") as closed:
            await runner(tool())(config, credentials=written)
        with pytest.raises(ToolError, match="none of the hosts") as unlisted:
            await runner(tool(allow_private=True))(config, credentials=written, hosts=("example.org",))
        found = await runner(tool(allow_private=True))(config, credentials=written)

        assert (closed.value.code, unlisted.value.code) == ("refused_address", "refused_host")
        assert found["row_count"] == 0

    async def test_brokers_at_a_metadata_service_are_reached_by_no_word_of_a_deployment(self) -> None:
        near = secret("169.254.169.254:9092", provider=DOCUMENT)

        with pytest.raises(ToolError, match="is a metadata service") as found:
            await runner(tool(allow_private=True))({"operation": "consume", "topic": "t"}, credentials=near)

        assert found.value.code == "refused_address"

    async def test_brokers_without_a_name_are_looked_at_too(self) -> None:
        written = secret("[::1]:9092,::1:9093", provider=DOCUMENT)

        with pytest.raises(ToolError, match="'::1:9093' is none of the hosts") as found:
            await runner(tool(allow_private=True))(
                {"operation": "consume", "topic": "t"}, credentials=written, hosts=("[::1]:9092",)
            )

        assert found.value.code == "refused_host"

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({}, "names no brokers"),
            ({"url": "http://x:1"}, "names no brokers"),
            ({"bootstrap": "h:70000"}, "names no brokers"),
            ({"bootstrap": "h/x:9092"}, "names no brokers"),
            ({"host": "h", "user": "u", "mechanism": "GSSAPI"}, "asks for the mechanism 'GSSAPI'"),
            ({"host": "h", "ca": "no pem"}, "no certificate"),
        ],
    )
    async def test_a_credential_that_says_too_little_is_named(self, fields: Any, sentence: str) -> None:
        with pytest.raises(ToolError, match=sentence) as found:
            await runner(tool())(
                {"operation": "consume", "topic": "t"}, credentials={"c": Secret("c", fields)}
            )

        assert found.value.kind == "credential"


def test_a_value_that_another_schema_wrote_is_told_by_its_fingerprint() -> None:
    other = {**SCHEMA, "fields": [{"name": "amount", "type": "int"}]}
    written = encoder("avro", other)({"amount": 7})

    assert decoder("avro", other)(written) == {"amount": 7}
    with pytest.raises(
        ValueError, match=r"its writer's schema has the fingerprint [0-9a-f]{16}, `avro_schema`"
    ):
        decoder("avro", SCHEMA)(written)


def test_avro_asks_for_its_schema() -> None:
    with pytest.raises(ValueError, match="needs `avro_schema`"):
        call(tool(), {"operation": "consume", "topic": "t", "format": "avro"})
