"""What the broker reads from a frame: the same as kio does, but never more than is there."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from kio.index import load_request_schema
from kio.serial import entity_reader

from noetl_stream.broker.api import Api
from noetl_stream.broker.protocol import decode
from noetl_stream.broker.reader import MOST_ELEMENTS
from noetl_stream.commitlog.refusal import ConnectionRefused
from tests.broker.client import frame
from tests.broker.requests import REQUESTS
from tests.broker.samples import EVERY_VERSION, NOBODY


def sent(api: Api, version: int) -> bytes:
    """A frame without its length."""
    return frame(api, version, REQUESTS[api])[4:]


def header(api: Api, version: int) -> bytes:
    """A header without a client's name, and without tagged fields where it could have some."""
    flexible = load_request_schema(api, version).__header_schema__.__flexible__
    return struct.pack(">hhih", api, version, 1, -1) + (b"\0" if flexible else b"")


@pytest.mark.parametrize(("api", "version"), EVERY_VERSION)
def test_a_sound_request_is_read_as_kio_reads_it(api: Api, version: int) -> None:
    request = sent(api, version)
    schema: Any = load_request_schema(api, version)
    _, size = entity_reader(schema.__header_schema__)(request, 0)
    body, _ = entity_reader(schema)(request, size)

    assert decode(request, NOBODY).body == body


@pytest.mark.parametrize(("api", "version"), EVERY_VERSION)
def test_a_request_that_ends_early_is_refused_wherever_it_ends(api: Api, version: int) -> None:
    request = sent(api, version)

    for size in range(len(request)):
        with pytest.raises(ConnectionRefused):
            decode(request[:size], NOBODY)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param((Api.METADATA, 8, struct.pack(">i", 2**31 - 1)), id="an array"),
        pytest.param((Api.METADATA, 9, b"\xff\xff\xff\xff\x0f"), id="a compact array"),
        pytest.param((Api.METADATA, 9, b"\xff\xff\xff\xff\xff\x0f"), id="an endless varint"),
        pytest.param((Api.METADATA, 8, struct.pack(">ih", 1, 2**15 - 1)), id="a string"),
        pytest.param((Api.FIND_COORDINATOR, 0, struct.pack(">h", -1)), id="a string that must be there"),
        pytest.param((Api.METADATA, 9, b"\0\0\0\0\xff\xff\xff\xff\x0f"), id="the tagged fields"),
        pytest.param((Api.METADATA, 9, b"\0\0\0\0\1\x63\xff\xff\xff\xff\x0f"), id="a tagged field"),
    ],
)
def test_a_length_that_cannot_be_true_is_refused_before_memory_is_given_to_it(
    body: tuple[Api, int, bytes],
) -> None:
    """kio would ask for 34 GB, and end the process when it gets none."""
    api, version, content = body

    with pytest.raises(ConnectionRefused, match="does not parse"):
        decode(header(api, version) + content, NOBODY)


def test_a_request_of_very_many_elements_is_refused() -> None:
    """A byte on the wire would be hundreds in memory."""
    names = struct.pack(">i", MOST_ELEMENTS + 1) + b"\0\0" * (MOST_ELEMENTS + 1)

    with pytest.raises(ConnectionRefused, match="elements"):
        decode(header(Api.METADATA, 1) + names, NOBODY)


@pytest.mark.parametrize(("api", "version"), EVERY_VERSION)
def test_tagged_fields_that_nobody_knows_yet_are_skipped(api: Api, version: int) -> None:
    """A newer client may send them, in the header and in the body, in a version that we know; old versions have none."""
    schema: Any = load_request_schema(api, version)
    request = sent(api, version)
    _, size = entity_reader(schema.__header_schema__)(request, 0)
    field = b"\1\x63\3abc"
    head = request[: size - 1] + field if schema.__header_schema__.__flexible__ else request[:size]
    body = request[size:-1] + field if schema.__flexible__ else request[size:]

    assert decode(head + body, NOBODY).body == decode(request, NOBODY).body
