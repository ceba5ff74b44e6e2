"""Every example runs through the whole path, takes the way it should, and ends with exactly what it promises."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import nats
import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from nats.js.api import ConsumerConfig

from noetl_stream.cli.running import Job, report_of, resolved, run_to_end
from noetl_stream.core.values import Value
from noetl_stream.wiring import Platform
from tests.cache.s3 import s3_server
from tests.nats_server import Server
from tests.playbooks.examples import (
    ADBC,
    ALONE,
    CONTAINER,
    FLIGHTS,
    HTTP,
    KAFKA,
    LAKE,
    MCP,
    NATS,
    OBJECTS,
    POSTGRES,
    SNOWFLAKE,
    TOKENS,
    TRANSFER,
    Example,
)
from tests.tools import mcp_server, snowflake_server
from tests.tools.kubernetes_api import Api, ended

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


Ending: TypeAlias = tuple[dict[str, Any], Value]
AT_ONCE = 4


async def ran(platform: Platform, example: Example) -> Ending:
    """The report of one run, and the execution's own result."""
    job = Job(path=example.catalog_path, payload=example.payload, key=uuid.uuid4().hex)
    story = await run_to_end(platform, job, timeout=100, watch=lambda _: None)
    assert story.end is not None
    return await report_of(platform, story), await resolved(platform.cache, story.end.result)


async def new_topic(platform: Platform) -> str:
    """The name of an empty topic that is open to tasks."""
    topic = f"shop.{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=platform.settings.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    return topic


def named(example: Example) -> str:
    return " ".join([Path(example.file).stem, *(f"{k}={v}" for k, v in example.payload.items())])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endings(
    request: pytest.FixtureRequest, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mapping[str, asyncio.Task[Ending]]]:
    """The examples that this session asks for, some at once: most of an example's time is waiting."""
    room = asyncio.Semaphore(AT_ONCE)

    async def ending(example: Example) -> Ending:
        out = {"out": str(tmp_path_factory.mktemp("out"))} if example.writes else {}
        async with room:
            return await ran(platform, replace(example, payload={**example.payload, **out}))

    names = {item.name.partition("-")[2].removesuffix("]") for item in request.session.items}
    running = {named(each): asyncio.create_task(ending(each)) for each in ALONE if named(each) in names}
    yield running
    await asyncio.wait(running.values())


@pytest.mark.parametrize("example", ALONE, ids=named)
async def test_an_example_ends_as_it_says(
    endings: Mapping[str, asyncio.Task[Ending]], example: Example
) -> None:
    report, result = await endings[named(example)]

    assert tuple(report["path"]) == example.path
    if example.error is None:
        assert (report["status"], report["error"]) == ("COMPLETED", None)
    else:
        assert report["status"] == "FAILED"
        assert (report["error"]["step"], report["error"]["kind"]) == example.error
    assert result == example.ending


async def test_the_http_example_asks_a_service(platform: Platform, shop: str) -> None:
    report, result = await ran(platform, replace(HTTP, payload={"base": shop}))

    assert tuple(report["path"]) == HTTP.path
    assert result == HTTP.ending
    assert report["steps"]["customer"]["status"] == "done"


async def test_the_postgres_example_writes_to_a_database(platform: Platform, database: str) -> None:
    report, result = await ran(platform, replace(POSTGRES, payload={"dsn": database}))

    assert (report["error"], tuple(report["path"])) == (None, POSTGRES.path)
    assert result == POSTGRES.ending


async def test_the_adbc_example_reads_what_it_wrote(platform: Platform, database: str) -> None:
    report, result = await ran(platform, replace(ADBC, payload={"dsn": database}))

    assert (report["error"], tuple(report["path"])) == (None, ADBC.path)
    assert result == ADBC.ending


async def test_the_snowflake_example_reads_and_is_told_what_is_wrong(platform: Platform) -> None:
    with snowflake_server.serving() as account:
        place = {"host": "127.0.0.1", "port": account.port, "protocol": "http"}
        payload = {"account": "acme", "password": snowflake_server.PASSWORD, **place}
        report, result = await ran(platform, replace(SNOWFLAKE, payload=payload))

    assert (report["error"], tuple(report["path"])) == (None, SNOWFLAKE.path)
    assert result == SNOWFLAKE.ending


async def test_the_transfer_example_moves_rows_twice(
    platform: Platform, database: str, tmp_path: Path
) -> None:
    report, result = await ran(
        platform, replace(TRANSFER, payload={"dsn": database, "folder": str(tmp_path)})
    )

    assert (report["error"], tuple(report["path"])) == (None, TRANSFER.path)
    assert result == TRANSFER.ending


async def test_the_objects_example_asks_a_store(platform: Platform) -> None:
    with s3_server() as s3:
        payload = {"endpoint": s3.endpoint, "at": s3.new_bucket()}
        report, result = await ran(platform, replace(OBJECTS, payload=payload))

    assert (report["status"], report["error"]) == ("COMPLETED", None)
    assert result == OBJECTS.ending


async def test_the_kafka_example_sends_and_reads(platform: Platform) -> None:
    topic = await new_topic(platform)

    report, result = await ran(platform, replace(KAFKA, payload={"topic": topic}))

    assert (report["status"], report["error"]) == ("COMPLETED", None)
    assert result == KAFKA.ending


async def test_the_lake_example_moves_records_to_a_bucket(platform: Platform, tmp_path: Path) -> None:
    topic = await new_topic(platform)
    with s3_server() as s3:
        place = {"endpoint": s3.endpoint, "at": s3.new_bucket(), "folder": str(tmp_path)}
        report, result = await ran(platform, replace(LAKE, payload={"topic": topic, **place}))

    assert (report["error"], tuple(report["path"])) == (None, LAKE.path)
    assert result == LAKE.ending


async def test_the_nats_example_keeps_and_drains(platform: Platform, jetstream: Server) -> None:
    name, bucket = f"jobs{uuid.uuid4().hex[:8]}", f"shop{uuid.uuid4().hex[:8]}"
    client = await nats.connect(jetstream.url, allow_reconnect=False)
    await client.jetstream().create_key_value(bucket=bucket)
    await client.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
    await client.jetstream().add_consumer(name, ConsumerConfig(durable_name="work"))
    await client.close()

    payload = {"url": jetstream.url, "name": name, "bucket": bucket}
    report, result = await ran(platform, replace(NATS, payload=payload))

    assert (report["status"], report["error"]) == ("COMPLETED", None)
    assert result == NATS.ending


async def test_the_mcp_example_calls_tools(platform: Platform) -> None:
    with mcp_server.serving() as server:
        report, result = await ran(platform, replace(MCP, payload={"server": server.url}))

    assert (report["error"], tuple(report["path"])) == (None, MCP.path)
    assert result == MCP.ending


async def test_the_container_example_ends_as_its_jobs_do(platform: Platform, kubernetes: Api) -> None:
    running = asyncio.create_task(ran(platform, CONTAINER))
    for condition, code, output in (("Complete", 0, b"5050\n"), ("Failed", 3, b"no such order\n")):
        (job,) = await asyncio.to_thread(kubernetes.wait_for, kubernetes.running)
        kubernetes.output = output
        kubernetes.end(condition, "BackoffLimitExceeded", job, **ended(code))
        if code == 0:
            first = job["spec"]
    report, result = await running

    assert (report["error"], tuple(report["path"])) == (None, CONTAINER.path)
    assert result == CONTAINER.ending
    assert first["activeDeadlineSeconds"] == 3600


async def test_the_tokens_example_asks_with_a_token(platform: Platform, shop: str) -> None:
    report, result = await ran(platform, replace(TOKENS, payload={"base": shop}))

    assert (report["error"], tuple(report["path"])) == (None, TOKENS.path)
    assert result == TOKENS.ending


@pytest.mark.timeout(120)
async def test_the_flights_are_reduced_to_a_table_a_file_and_a_chart(
    platform: Platform, tmp_path: Path
) -> None:
    report, result = await ran(platform, replace(FLIGHTS, payload={"out": str(tmp_path)}))

    assert tuple(report["path"]) == FLIGHTS.path
    assert report["steps"]["by_month"] == {"status": "done", "attempts": 12, "iterations": 12, "epochs": 1}
    assert result["row_count"] == 16
    assert result["rows"][0]["carrier"] == "F9"
    assert (tmp_path / "delay_by_carrier_and_hour.parquet").is_file()
    assert (tmp_path / "delay_by_carrier_and_hour.svg").is_file()


async def test_a_loop_counts_its_iterations_and_a_cycle_its_epochs(platform: Platform) -> None:
    loop, _ = await ran(platform, Example(file="06_fan_out.yaml", path=()))
    cycle, _ = await ran(platform, Example(file="09_cycle.yaml", path=()))

    assert loop["steps"]["load"] == {"status": "done", "attempts": 6, "iterations": 6, "epochs": 1}
    assert cycle["steps"]["drain"] == {"status": "done", "attempts": 4, "iterations": 4, "epochs": 4}
