"""What a client may do to the broker: nothing but lose its own connection."""

from __future__ import annotations

import asyncio
import datetime
import logging
import struct
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import ANNOUNCED, SUPPORTED, Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.protocol import decode
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.commitlog.refusal import ConnectionRefused
from tests.broker.client import RawClient, frame
from tests.broker.client import decode as decode_response
from tests.broker.samples import NOBODY
from tests.commitlog.samples import batch

_FLAGS = {"include_cluster_authorized_operations": False, "include_topic_authorized_operations": False}
_EVERYTHING = {"topics": None, **_FLAGS}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(tmp_path, settings=BrokerSettings(max_request_bytes=10_000)) as broker:
        yield broker


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        struct.pack(">i", -1),
        struct.pack(">i", 10_001),
        struct.pack(">i", 3) + b"abc",
        struct.pack(">ihhi", 8, 999, 0, 1),
        struct.pack(">ihhi", 8, Api.METADATA, 99, 1),
        struct.pack(">ihhi", 8, Api.METADATA, 8, 1),
    ],
    ids=["http", "negative size", "too large", "too short", "unknown key", "unknown version", "cut body"],
)
async def test_garbage_closes_its_connection_and_no_other(
    broker: EmbeddedBroker, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with RawClient(broker.bootstrap) as neighbour, RawClient(broker.bootstrap) as client:
        await neighbour.call(Api.METADATA, 8, _EVERYTHING)
        client.writer.write(sent)

        assert await client.is_closed_by_the_broker()
        await neighbour.call(Api.METADATA, 8, _EVERYTHING)

    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.levelno == logging.WARNING
    assert "closed the connection of 127.0.0.1" in record.getMessage()


async def test_versions_from_the_future_are_answered_with_what_there_is(broker: EmbeddedBroker) -> None:
    """The one request whose version need not be known: the client then steps down."""
    async with RawClient(broker.bootstrap) as client:
        client.writer.write(struct.pack(">ihhi", 8, Api.API_VERSIONS, 99, 7))
        response = decode_response(Api.API_VERSIONS, 0, await client.receive())

    assert response.error_code is ErrorCode.unsupported_version
    assert {key.api_key: (key.min_version, key.max_version) for key in response.api_keys} == ANNOUNCED


@pytest.mark.parametrize("version", [10, 11])
async def test_a_topic_without_a_name_is_refused_where_the_answer_needs_one(
    broker: EmbeddedBroker, version: int
) -> None:
    """The request may leave the name out before the response may."""
    nameless = {"topics": [{"name": None, "topic_id": uuid.uuid4()}], **_FLAGS}
    async with RawClient(broker.bootstrap) as client:
        (topic,) = (await client.call(Api.METADATA, version, nameless)).topics

    assert (topic.error_code, topic.name) == (ErrorCode.invalid_request, "")


async def test_a_failed_produce_without_acks_closes_the_connection(broker: EmbeddedBroker) -> None:
    """There is no other way to tell the producer."""
    unknown = {"name": "unknown", "partition_data": [{"index": 0, "records": batch(b"v")}]}
    async with RawClient(broker.bootstrap) as client:
        fields = {
            "transactional_id": None,
            "acks": 0,
            "timeout": datetime.timedelta(seconds=1),
            "topic_data": [unknown],
        }
        client.writer.write(frame(Api.PRODUCE, 8, fields))

        assert await client.is_closed_by_the_broker()


async def test_a_client_that_goes_in_mid_request_is_nobodys_fault(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with RawClient(broker.bootstrap) as client:
        client.writer.write(struct.pack(">i", 100) + b"half")
        await client.writer.drain()

    async with RawClient(broker.bootstrap) as neighbour:
        await neighbour.call(Api.METADATA, 8, _EVERYTHING)
    assert caplog.records == []


async def test_stopping_does_not_wait_for_waiting_clients(tmp_path: Path) -> None:
    """A fetch that would wait a minute is cut off."""
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await client.call(Api.METADATA, 8, {"topics": [{"name": "t"}], **_FLAGS})
        wanted = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1000}
        fields = {
            "max_wait": datetime.timedelta(minutes=1),
            "min_bytes": 1,
            "topics": [{"topic": "t", "partitions": [wanted]}],
            "forgotten_topics_data": [],
        }
        client.writer.write(frame(Api.FETCH, 11, fields))
        await client.writer.drain()
        began = asyncio.get_running_loop().time()

    assert asyncio.get_running_loop().time() - began < 1.0


@given(body=st.binary(max_size=200), api=st.sampled_from(list(SUPPORTED)), version=st.integers(0, 12))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_request_or_refused(body: bytes, api: Api, version: int) -> None:
    """Decoding raises nothing that would be taken for a fault of the broker."""
    sent = struct.pack(">hhih", api, version, 1, -1) + body
    try:
        request = decode(sent, NOBODY)
    except ConnectionRefused:
        return
    assert request.api is api
