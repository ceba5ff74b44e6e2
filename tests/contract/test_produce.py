"""Produce: what is acknowledged and how, which batches are not taken, and what a producer's sequence is good for."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from tests.broker.client import RawClient, frame
from tests.contract.batches import (
    ATTRIBUTES,
    BASE_OFFSET,
    LAST_OFFSET_DELTA,
    LENGTH,
    MAGIC,
    PRODUCER_ID,
    RECORD_COUNT,
    altered,
    batch_of,
)
from tests.contract.clients import Kafka, end_offset, fresh, read, send_all
from tests.contract.wire import produced, production, topic_id

STRANGER = 880_000
"""Producer ids that neither broker gives out in a session of tests."""


async def stored(kafka: Kafka, topic: str) -> list[bytes | None]:
    async with kafka.consumer(topic) as consumer:
        records = await read(consumer, await end_offset(consumer, topic))
    return [record.value for record in records]


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_records_are_stored_however_they_are_acknowledged(kafka: Kafka, acks: int | str) -> None:
    topic = await kafka.topic()
    async with kafka.producer(acks=acks) as producer:
        await send_all(producer, topic, [b"%d" % i for i in range(20)])

    async with kafka.consumer(topic) as consumer:
        assert [int(record.value) for record in await read(consumer, 20)] == list(range(20))


async def test_acks_of_two_are_refused(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        assert (
            await produced(client, topic, batch_of(b"v"), acks=2)
        ).error_code is ErrorCode.invalid_required_acks


async def test_a_refused_record_that_wants_no_answer_costs_its_connection(kafka: Kafka) -> None:
    """Without acknowledgements there is no other way to tell a producer of an error."""
    async with kafka.wire() as client:
        client.writer.write(frame(Api.PRODUCE, 9, production(fresh("unknown"), batch_of(b"v"), acks=0)))
        assert await client.is_closed_by_the_broker()


async def test_each_partition_of_a_request_has_its_own_answer(kafka: Kafka) -> None:
    topic = await kafka.topic(2)
    fields = production(topic, batch_of(b"good"))
    fields["topic_data"][0]["partition_data"] += [
        {"index": 1, "records": batch_of(b"bad")[:-1] + b"!"},
        {"index": 2, "records": batch_of(b"nowhere")},
    ]

    async with kafka.wire() as client:
        [answer] = (await client.call(Api.PRODUCE, 9, fields)).responses

    assert {part.index: part.error_code for part in answer.partition_responses} == {
        0: ErrorCode.none,
        1: ErrorCode.corrupt_message,
        2: ErrorCode.unknown_topic_or_partition,
    }
    assert await stored(kafka, topic) == [b"good"]


WHOLE = batch_of(b"1", b"2")


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(WHOLE + WHOLE, id="two"),
        pytest.param(WHOLE[:-1], id="cut-short"),
        pytest.param(WHOLE[:40], id="half-a-header"),
        pytest.param(altered(WHOLE, MAGIC, 1), id="an-old-format"),
        pytest.param(altered(WHOLE, RECORD_COUNT, 3), id="one-more-than-there-are"),
        pytest.param(altered(WHOLE, RECORD_COUNT, -1), id="less-than-none"),
        pytest.param(altered(WHOLE, LAST_OFFSET_DELTA, 2), id="a-longer-range"),
        pytest.param(altered(WHOLE, ATTRIBUTES, 0x20), id="a-transactions-marker"),
        pytest.param(altered(WHOLE, BASE_OFFSET, 5), id="an-offset-of-its-own"),
        pytest.param(altered(WHOLE, PRODUCER_ID, 77), id="a-producer-without-sequence"),
    ],
)
async def test_a_partition_takes_exactly_one_whole_batch_of_a_producer(kafka: Kafka, batch: bytes) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        assert (await produced(client, topic, batch)).error_code is ErrorCode.invalid_record
        assert (await produced(client, topic, WHOLE)).base_offset == 0


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(altered(WHOLE, MAGIC, 3), id="a-format-to-come"),
        pytest.param(altered(WHOLE, LENGTH, 20), id="shorter-than-a-header"),
        pytest.param(altered(WHOLE, LENGTH, -5), id="less-than-nothing"),
        pytest.param(WHOLE[:-1] + b"!", id="another-record"),
    ],
)
async def test_octets_that_are_no_batch_are_corrupt(kafka: Kafka, batch: bytes) -> None:
    topic = await kafka.topic()
    async with kafka.wire() as client:
        assert (await produced(client, topic, batch)).error_code is ErrorCode.corrupt_message
        assert (await produced(client, topic, WHOLE)).base_offset == 0


async def test_a_codec_that_nobody_knows_is_refused(kafka: Kafka) -> None:
    """By whatever name: nobody could read what is behind it."""
    topic = await kafka.topic()
    async with kafka.wire() as client:
        assert (await produced(client, topic, altered(WHOLE, ATTRIBUTES, 5))).error_code is not ErrorCode.none
        assert (await produced(client, topic, WHOLE)).base_offset == 0


async def test_a_transactions_batch_without_its_transaction_is_refused(kafka: Kafka) -> None:
    topic = await kafka.topic()
    stray = altered(batch_of(b"v", producer_id=STRANGER, epoch=0, sequence=0), ATTRIBUTES, 0x10)
    async with kafka.wire() as client:
        refused = await produced(client, topic, stray)
        assert refused.error_code is ErrorCode.transactional_id_authorization_failed
        assert (await produced(client, topic, WHOLE)).base_offset == 0


async def test_a_batch_may_be_as_large_as_its_topic_allows_and_no_larger(kafka: Kafka) -> None:
    fitting, over = batch_of(b"x" * 2000), batch_of(b"x" * 2001)
    topic = await kafka.topic(max_message_bytes=str(len(fitting)))
    async with kafka.wire() as client:
        assert (await produced(client, topic, over)).error_code is ErrorCode.message_too_large
        assert (await produced(client, topic, fitting)).base_offset == 0

    assert await stored(kafka, topic) == [b"x" * 2000]


async def test_records_can_be_sent_to_a_topic_by_its_id(kafka: Kafka) -> None:
    topic, unknown = await kafka.topic(), await kafka.topic()
    async with kafka.wire() as client:
        known_id, gone_id = await topic_id(client, topic), await topic_id(client, unknown)
        await kafka.delete(unknown)
        assert (await sent_by_id(client, known_id)).base_offset == 0
        assert (await sent_by_id(client, gone_id)).error_code is ErrorCode.unknown_topic_id

    assert await stored(kafka, topic) == [b"v"]


async def sent_by_id(client: RawClient, wanted: UUID) -> Any:
    fields = production("", batch_of(b"v"))
    fields["topic_data"][0]["topic_id"] = wanted
    [answer] = (await client.call(Api.PRODUCE, 13, fields)).responses
    assert answer.topic_id == wanted
    return answer.partition_responses[0]


async def test_more_copies_in_sync_than_there_are_copies_stop_no_producer(kafka: Kafka) -> None:
    """Since 4.0 `min.insync.replicas` counts for no more than the topic's own number of replicas."""
    topic = await kafka.topic(min_insync_replicas="2")
    async with kafka.producer(acks="all") as producer:
        assert (await producer.send_and_wait(topic, b"v")).offset == 0


# The sequence of an idempotent producer.


async def test_a_producers_last_five_batches_are_known_again(kafka: Kafka) -> None:
    """Each is answered with its place; an older one can no longer be told from a gap."""
    topic, who = await kafka.topic(), STRANGER + 1
    batches = [batch_of(b"%d" % i, producer_id=who, epoch=0, sequence=i) for i in range(7)]
    async with kafka.wire() as client:
        for batch in batches:
            assert (await produced(client, topic, batch)).error_code is ErrorCode.none

        again = [await produced(client, topic, batch) for batch in batches[2:]]
        assert [(answer.error_code, answer.base_offset) for answer in again] == [
            (ErrorCode.none, offset) for offset in range(2, 7)
        ]
        oldest = await produced(client, topic, batches[1])
        assert oldest.error_code is ErrorCode.out_of_order_sequence_number

    assert await stored(kafka, topic) == [b"%d" % i for i in range(7)]


async def test_a_sequence_goes_round_at_its_end(kafka: Kafka) -> None:
    topic, who = await kafka.topic(), STRANGER + 2
    last = batch_of(b"last", producer_id=who, epoch=0, sequence=(1 << 31) - 1)
    first = batch_of(b"first", producer_id=who, epoch=0, sequence=0)
    async with kafka.wire() as client:
        assert (await produced(client, topic, last)).base_offset == 0
        assert (await produced(client, topic, first)).base_offset == 1


async def test_a_new_epoch_begins_its_sequence_at_zero(kafka: Kafka) -> None:
    topic, who = await kafka.topic(), STRANGER + 3
    async with kafka.wire() as client:
        await produced(client, topic, batch_of(b"1", producer_id=who, epoch=0, sequence=0))
        ahead = batch_of(b"2", producer_id=who, epoch=1, sequence=1)
        assert (await produced(client, topic, ahead)).error_code is ErrorCode.out_of_order_sequence_number
        afresh = batch_of(b"2", producer_id=who, epoch=1, sequence=0)
        assert (await produced(client, topic, afresh)).base_offset == 1


async def test_a_zombies_batch_is_refused_also_when_it_was_written_before(kafka: Kafka) -> None:
    """Its successor has written since: even the batch that stands in the log is no longer acknowledged to it."""
    topic, who = await kafka.topic(), STRANGER + 4
    old = batch_of(b"old", producer_id=who, epoch=0, sequence=0)
    async with kafka.wire() as client:
        await produced(client, topic, old)
        await produced(client, topic, batch_of(b"new", producer_id=who, epoch=1, sequence=0))
        assert (await produced(client, topic, old)).error_code is ErrorCode.invalid_producer_epoch

    assert await stored(kafka, topic) == [b"old", b"new"]


async def test_two_producers_at_once_keep_each_others_sequence(kafka: Kafka) -> None:
    topic = await kafka.topic()
    async with kafka.producer(enable_idempotence=True) as one, kafka.producer(enable_idempotence=True) as two:
        await asyncio.gather(
            send_all(one, topic, [b"a%d" % i for i in range(100)]),
            send_all(two, topic, [b"b%d" % i for i in range(100)]),
        )

    values = await stored(kafka, topic)
    assert [value for value in values if value and value.startswith(b"a")] == [b"a%d" % i for i in range(100)]
    assert [value for value in values if value and value.startswith(b"b")] == [b"b%d" % i for i in range(100)]
