"""The metrics page: what it says of a broker that has worked a little, and how it treats strangers."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from noetl_stream.broker import metrics
from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.errors import InfrastructureError
from tests.broker.client import RawClient
from tests.broker.requests import REQUESTS


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(tmp_path, settings=BrokerSettings(metrics_port=0)) as broker:
        yield broker


async def scraped(broker: EmbeddedBroker) -> Mapping[str, float]:
    """Every sample by its name and its labels' values."""
    text = await asyncio.to_thread(_get, broker.metrics_url)
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


async def test_a_page_tells_of_connections_requests_logs_groups_and_syncs(broker: EmbeddedBroker) -> None:
    before = await scraped(broker)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id="x") as producer:
        async with producer.transaction():
            await producer.send_and_wait("t", b"kept")
        consumer = AIOKafkaConsumer(
            "t", bootstrap_servers=broker.bootstrap, group_id="g", auto_offset_reset="earliest"
        )
        async with consumer:
            assert (await consumer.getone()).value == b"kept"
            after = await scraped(broker)

    assert before["noetl_broker_connections"] == 0
    assert after["noetl_broker_connections"] >= 2
    assert after["noetl_broker_request_seconds_count produce"] == 1
    assert after["noetl_broker_request_seconds_sum produce"] < 5
    assert after["noetl_broker_fsync_seconds_count"] > before["noetl_broker_fsync_seconds_count"]
    assert after["noetl_broker_received_bytes_total"] > 100
    assert after["noetl_broker_sent_bytes_total"] > 100
    assert after["noetl_broker_high_watermark t"] == 2  # the record and its transaction's marker
    assert after["noetl_broker_log_start_offset t"] == 0
    assert after["noetl_broker_log_bytes t"] > 61
    assert after["noetl_broker_groups Stable"] == 1
    assert after["noetl_broker_transactions_ongoing"] == 0
    assert "noetl_broker_cleaner_passes_total" in after


async def test_many_topics_do_not_make_many_series(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_TOPICS", 2)
    async with RawClient(broker.bootstrap) as client:
        for number in range(5):
            await client.call(Api.METADATA, 8, {**REQUESTS[Api.METADATA], "topics": [{"name": f"t{number}"}]})

    topics = [name for name in await scraped(broker) if name.startswith("noetl_broker_log_bytes ")]
    assert len(topics) == 3
    assert topics[-1] == "noetl_broker_log_bytes _others"


async def test_there_is_nothing_but_the_page(broker: EmbeddedBroker) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        await asyncio.to_thread(_get, broker.metrics_url.replace("/metrics", "/"))


async def test_whoever_asks_for_no_page_is_hung_up_on(broker: EmbeddedBroker) -> None:
    port = int(broker.metrics_url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x" * 100_000)

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()


async def test_a_broker_shows_nothing_unless_it_is_asked_to(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path) as broker:
        assert broker.metrics_url == ""


async def test_a_port_that_is_taken_is_said(broker: EmbeddedBroker, tmp_path: Path) -> None:
    taken = int(broker.metrics_url.split(":")[2].split("/")[0])
    with pytest.raises(InfrastructureError, match=f"cannot serve metrics at 127.0.0.1:{taken}"):
        async with EmbeddedBroker(tmp_path / "other", settings=BrokerSettings(metrics_port=taken)):
            pass
