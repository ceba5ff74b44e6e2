"""Consumer groups: who holds which partition as members come, leave and die, and where each of them resumes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from tests.contract.clients import LIMIT, Kafka, fresh, read, send_all
from tests.contract.groups import Group

MEMBER = Path(__file__).with_name("member.py")


async def test_a_group_shares_its_partitions_as_members_join_and_leave(kafka: Kafka) -> None:
    group = Group(kafka=kafka, topic=await kafka.topic(6))
    async with group.member() as first:
        await group.shares([6], first)
        async with group.member() as second:
            await group.shares([3, 3], first, second)
            async with group.member() as third:
                await group.shares([2, 2, 2], first, second, third)
            await group.shares([3, 3], first, second)
        await group.shares([6], first)


async def test_a_killed_members_partition_moves_on_and_resumes_at_its_committed_offset(kafka: Kafka) -> None:
    """The killed member never leaves: its session runs out, and the survivor is given what it held."""
    group = Group(kafka=kafka, topic=await kafka.topic(2))
    async with kafka.producer() as producer:
        for partition in range(2):
            await send_all(producer, group.topic, [b"x"] * 20, partition=partition)

    async with group.member() as survivor:
        await group.shares([2], survivor)
        moved = await committed_by_a_killed_member(group, 12)
        await group.shares([2], survivor)
        records = await read(survivor.consumer, 28)

    assert [record.offset for record in records if record.partition == moved] == list(range(12, 20))
    assert [record.offset for record in records if record.partition != moved] == list(range(20))


async def committed_by_a_killed_member(group: Group, offset: int) -> int:
    """The partition for which a second member committed `offset`; it was killed at once thereafter."""
    command = [sys.executable, str(MEMBER), group.kafka.bootstrap, group.topic, group.name, str(offset)]
    doomed = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        assert doomed.stdout
        [partition] = (await asyncio.wait_for(doomed.stdout.readline(), LIMIT)).split()
    finally:
        doomed.kill()
        await doomed.communicate()
    return int(partition)


async def test_a_member_with_a_static_id_gets_its_partitions_back(kafka: Kafka) -> None:
    """It may restart within its session, and the other member is not disturbed."""
    group = Group(kafka=kafka, topic=await kafka.topic(4))
    async with group.member(group_instance_id="one") as one:
        await group.shares([4], one)
        async with group.member(group_instance_id="two") as two:
            await group.shares([2, 2], one, two)
            held = two.held
        before = one.assignments
        async with group.member(group_instance_id="two") as two:
            await group.until(lambda: two.assignments == 1)
            assert two.held == held
        assert one.assignments == before


async def test_a_group_resumes_at_its_committed_offset(kafka: Kafka) -> None:
    topic, group = await kafka.topic(), fresh("group")
    partition = TopicPartition(topic, 0)
    async with kafka.producer() as producer:
        await send_all(producer, topic, [b"%d" % i for i in range(20)])

    async with kafka.consumer(topic, group_id=group) as consumer:
        await read(consumer, 20)
        await consumer.commit({partition: OffsetAndMetadata(12, "note")})
        assert await consumer.committed(partition) == 12
    async with kafka.consumer(topic, group_id=group) as consumer:
        assert [record.offset for record in await read(consumer, 8)] == list(range(12, 20))

    async with kafka.admin() as admin:
        assert await admin.list_consumer_group_offsets(group) == {partition: OffsetAndMetadata(12, "note")}
        assert (group, "consumer") in {row[:2] for row in await admin.list_consumer_groups()}


async def test_a_group_is_described_with_its_members(kafka: Kafka) -> None:
    group = Group(kafka=kafka, topic=await kafka.topic(2))
    async with group.member() as member, kafka.admin() as admin:
        await group.shares([2], member)
        [answer] = await admin.describe_consumer_groups([group.name])

    [(code, name, state, protocol_type, _, members, *_)] = answer.groups
    assert (code, name, state, protocol_type) == (0, group.name, "Stable", "consumer")
    assert len(members) == 1
