"""Every request in every version that the broker says it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.settings import BrokerSettings
from tests.broker.client import RawClient
from tests.broker.requests import REQUESTS, with_topic_id
from tests.broker.samples import EVERY_VERSION

_REFUSED = {
    Api.OFFSET_COMMIT: {ErrorCode.illegal_generation, ErrorCode.group_id_not_found},
    Api.JOIN_GROUP: {ErrorCode.none, ErrorCode.member_id_required},
    Api.HEARTBEAT: {ErrorCode.unknown_member_id},
    Api.SYNC_GROUP: {ErrorCode.unknown_member_id},
    Api.DELETE_TOPICS: {ErrorCode.unknown_topic_or_partition},
    Api.ADD_PARTITIONS_TO_TXN: {ErrorCode.invalid_producer_id_mapping},
    Api.ADD_OFFSETS_TO_TXN: {ErrorCode.invalid_producer_id_mapping},
    Api.END_TXN: {ErrorCode.invalid_producer_id_mapping},
    Api.TXN_OFFSET_COMMIT: {ErrorCode.invalid_producer_id_mapping},
    Api.SASL_HANDSHAKE: {ErrorCode.illegal_sasl_state},
    Api.SASL_AUTHENTICATE: {ErrorCode.illegal_sasl_state},
    Api.DESCRIBE_GROUPS: {ErrorCode.none, ErrorCode.group_id_not_found},
    Api.DELETE_GROUPS: {ErrorCode.group_id_not_found},
    Api.OFFSET_DELETE: {ErrorCode.group_id_not_found},
    Api.DESCRIBE_TRANSACTIONS: {ErrorCode.transactional_id_not_found},
}
"""What a stranger is told; every other request here succeeds."""


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(tmp_path, settings=BrokerSettings(fsync="none")) as broker:
        yield broker


@pytest.mark.parametrize(("api", "version"), EVERY_VERSION)
async def test_a_request_is_answered_in_its_version(broker: EmbeddedBroker, api: Api, version: int) -> None:
    async with RawClient(broker.bootstrap) as client:
        [topic] = (await client.call(Api.METADATA, 12, REQUESTS[Api.METADATA])).topics
        await client.call(Api.PRODUCE, 9, REQUESTS[Api.PRODUCE])

        response = await client.call(api, version, with_topic_id(REQUESTS[api], topic.topic_id))

    if api is Api.LEAVE_GROUP:  # the later versions tell of each member
        assert _codes(response) >= {ErrorCode.unknown_member_id}
    else:
        assert _codes(response) <= _REFUSED.get(api, {ErrorCode.none})


def _codes(entity: Any) -> set[ErrorCode]:
    """Every error code anywhere in a response."""
    if isinstance(entity, ErrorCode):
        return {entity}
    if isinstance(entity, tuple):
        return set().union(*map(_codes, entity))
    names = getattr(entity, "__dataclass_fields__", ())
    codes: set[ErrorCode] = set().union(*(_codes(getattr(entity, name)) for name in names))
    return codes if len(codes) < 2 else codes - {ErrorCode.none}
