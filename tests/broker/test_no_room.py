"""A disk without room for one entry more: every change is refused with a code, and done once there is room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.commitlog.append_file import AppendFile
from tests.broker.client import RawClient
from tests.broker.raw_producer import codes_in
from tests.broker.reading import create_topic
from tests.broker.requests import REQUESTS

_STORAGE, _COORDINATOR = ErrorCode.kafka_storage_error, ErrorCode.coordinator_not_available
_BY_NO_MEMBER: dict[str, Any] = {"member_id": "", "generation_id_or_member_epoch": -1, "generation_id": -1}

CHANGES: tuple[tuple[Api, int, ErrorCode, dict[str, Any]], ...] = (
    (Api.CREATE_TOPICS, 5, _STORAGE, {}),
    (Api.METADATA, 4, _STORAGE, {"topics": [{"name": "made-when-asked-for"}]}),
    (Api.CREATE_PARTITIONS, 1, _STORAGE, {"validate_only": False}),
    (Api.ALTER_CONFIGS, 1, _STORAGE, {}),
    (Api.INCREMENTAL_ALTER_CONFIGS, 1, _STORAGE, {}),
    (Api.DELETE_RECORDS, 1, _STORAGE, {}),
    (Api.OFFSET_COMMIT, 7, _COORDINATOR, _BY_NO_MEMBER),
    (Api.INIT_PRODUCER_ID, 1, _COORDINATOR, {}),
    (Api.ADD_PARTITIONS_TO_TXN, 3, _COORDINATOR, {}),
    (Api.ADD_OFFSETS_TO_TXN, 1, _COORDINATOR, {}),
    (Api.TXN_OFFSET_COMMIT, 3, _COORDINATOR, _BY_NO_MEMBER),
    (Api.END_TXN, 1, _COORDINATOR, {}),
    (Api.OFFSET_DELETE, 0, _STORAGE, {}),
    (Api.OFFSET_COMMIT, 7, _COORDINATOR, _BY_NO_MEMBER),
    (Api.DELETE_GROUPS, 1, _STORAGE, {}),
    (Api.DELETE_TOPICS, 5, _STORAGE, {"topic_names": ("t",)}),
)
"""In an order in which each can be done: the code that refuses it, and its fields beside those of a sound request."""


@contextmanager
def _full(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refused(file: AppendFile, chunk: bytes | bytearray) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(AppendFile, "append", refused)
        yield


async def test_every_change_is_refused_while_there_is_no_room_and_done_once_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await create_topic(client, 1)
        for api, version, code, more in CHANGES:
            with _full(monkeypatch):
                refused = set(codes_in(await client.call(api, version, {**REQUESTS[api], **more})))
            done = set(codes_in(await client.call(api, version, {**REQUESTS[api], **more})))

            assert (api, refused - {ErrorCode.none}, done) == (api, {code}, {ErrorCode.none})


async def test_a_creation_that_is_asked_for_again_and_again_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients ask for a topic ten times a second; files would use up the disk, open ones the broker."""
    async with EmbeddedBroker(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await create_topic(client, 1)
        wider = {**REQUESTS[Api.CREATE_PARTITIONS], "validate_only": False}
        with _full(monkeypatch):
            before, opened = os.listdir(tmp_path / "logs"), len(os.listdir("/proc/self/fd"))
            for _ in range(5):
                await client.call(Api.CREATE_TOPICS, 5, REQUESTS[Api.CREATE_TOPICS])
                await client.call(Api.CREATE_PARTITIONS, 1, wider)

        assert os.listdir(tmp_path / "logs") == before
        assert len(os.listdir("/proc/self/fd")) == opened
        assert [len(os.listdir(tmp_path / "logs" / name)) for name in before] == [1]
