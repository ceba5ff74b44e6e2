"""Clients that take what they can get: connections, memory and time are bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import datetime
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.settings import BrokerSettings
from tests.broker.client import RawClient, frame
from tests.broker.requests import REQUESTS
from tests.commitlog.samples import batch


@asynccontextmanager
async def limited(folder: Path, **limits: float) -> AsyncIterator[EmbeddedBroker]:
    settings = BrokerSettings(fsync="none", **limits)  # type: ignore[arg-type]
    async with EmbeddedBroker(folder, settings=settings) as broker:
        yield broker


async def is_answered(client: RawClient) -> bool:
    return bool((await client.call(Api.METADATA, 8, REQUESTS[Api.METADATA])).topics)


async def test_a_connection_beyond_the_limit_is_refused_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with limited(tmp_path, max_connections=2) as broker, AsyncExitStack() as stack:
        first = await stack.enter_async_context(RawClient(broker.bootstrap))
        second = await stack.enter_async_context(RawClient(broker.bootstrap))
        assert await is_answered(first)
        assert await is_answered(second)
        for _ in range(5):
            async with RawClient(broker.bootstrap) as third:
                assert await third.is_closed_by_the_broker()
        assert await is_answered(first)

    (refusal,) = [record.getMessage() for record in caplog.records if "refused a conn" in record.getMessage()]
    assert refusal.startswith("refused a connection from 127.0.0.1: all 2 connections are taken")


async def test_one_address_cannot_take_all_connections(tmp_path: Path) -> None:
    async with (
        limited(tmp_path, max_connections_per_address=1) as broker,
        RawClient(broker.bootstrap) as first,
        RawClient(broker.bootstrap) as second,
        RawClient(broker.bootstrap, local="127.0.0.2") as elsewhere,
    ):
        assert await is_answered(first)
        assert await second.is_closed_by_the_broker()
        assert await is_answered(elsewhere)


async def test_a_place_that_becomes_free_is_given_away_again(tmp_path: Path) -> None:
    async with limited(tmp_path, max_connections=1) as broker:
        for _ in range(3):
            async with RawClient(broker.bootstrap) as client:
                assert await is_answered(client)
            client.writer.close()
            assert await client.is_closed_by_the_broker()


async def test_new_connections_wait_at_the_door_for_their_turn(tmp_path: Path) -> None:
    """At twenty a second, the tenth is not answered before almost half a second has passed."""
    loop = asyncio.get_running_loop()
    async with limited(tmp_path, max_connection_rate=20) as broker, AsyncExitStack() as stack:
        began = loop.time()
        clients = [await stack.enter_async_context(RawClient(broker.bootstrap)) for _ in range(10)]
        assert await is_answered(clients[-1])

        assert loop.time() - began > 0.4


@pytest.mark.slow
async def test_a_thousand_idle_connections_hold_up_nobody(tmp_path: Path) -> None:
    async with limited(tmp_path) as broker, AsyncExitStack() as stack:
        for _ in range(1000):
            await stack.enter_async_context(RawClient(broker.bootstrap))
        async with RawClient(broker.bootstrap) as client:
            assert await is_answered(client)


@pytest.mark.slow
async def test_an_idle_connection_is_closed_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with limited(tmp_path, connections_max_idle=0.3) as broker, RawClient(broker.bootstrap) as client:
        assert await is_answered(client)
        assert await client.is_closed_by_the_broker()
    assert caplog.records == []


@pytest.mark.slow
async def test_half_a_request_is_not_waited_for_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with limited(tmp_path, transfer_timeout=0.3) as broker, RawClient(broker.bootstrap) as client:
        client.writer.write(struct.pack(">i", 100) + b"half")
        assert await client.is_closed_by_the_broker()
    assert "it stood still, in the middle of a request" in caplog.text


@pytest.mark.slow
async def test_a_client_that_never_reads_its_answers_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It asks without end for a megabyte; meanwhile a neighbour is answered as ever."""
    produced = {"index": 0, "records": batch(b"x" * 500_000)}
    wanted = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
    fetch = {
        "max_wait": datetime.timedelta(0),
        "min_bytes": 0,
        "topics": [{"topic": "t", "partitions": [wanted]}],
        "forgotten_topics_data": [],
    }
    async with (
        limited(tmp_path, transfer_timeout=0.5) as broker,
        RawClient(broker.bootstrap) as neighbour,
        RawClient(broker.bootstrap) as deaf,
    ):
        assert await is_answered(neighbour)
        topic = {"name": "t", "partition_data": [produced]}
        await neighbour.call(Api.PRODUCE, 8, {**REQUESTS[Api.PRODUCE], "topic_data": [topic]})
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            await _ask_without_end(deaf, frame(Api.FETCH, 11, fetch) * 20, neighbour)
        assert await is_answered(neighbour)
    assert "it stood still, not reading its answers" in caplog.text


async def test_requests_sent_without_a_pause_leave_the_others_their_turn(tmp_path: Path) -> None:
    """A neighbour's one request is answered before a flood of earlier ones is."""
    flood = 3000
    async with (
        limited(tmp_path) as broker,
        RawClient(broker.bootstrap) as neighbour,
        RawClient(broker.bootstrap) as hasty,
    ):
        assert await is_answered(neighbour)
        hasty.writer.write(frame(Api.METADATA, 8, REQUESTS[Api.METADATA]) * flood)
        answers = asyncio.create_task(_received(hasty, flood))
        assert await is_answered(neighbour)
        assert not answers.done()
        await answers


async def _ask_without_end(client: RawClient, requests: bytes, neighbour: RawClient) -> None:
    while True:
        client.writer.write(requests)
        await client.writer.drain()
        assert await is_answered(neighbour)


async def _received(client: RawClient, count: int) -> None:
    for _ in range(count):
        await client.receive()
