"""Where a group begins that has committed nothing yet: at the beginning, wherever retention has moved it."""

from __future__ import annotations

from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from noetl_stream.agents.roles import running
from noetl_stream.settings import Settings
from tests.contract.clients import Kafka
from tests.integration.client import installed
from tests.integration.test_requests import GREET


async def test_an_intake_that_never_ran_reads_from_where_retention_has_moved_the_beginning(
    settings: Settings,
) -> None:
    async with installed(settings, "orchestrator", "worker:default") as client:
        await client.register(GREET)
        for _ in range(3):
            await client.send(b"no request any more")
        requests = TopicPartition(client.platform.topics.requests.name, 0)
        async with Kafka(bootstrap=settings.bootstrap).admin() as admin:
            await admin.delete_records({requests: RecordsToDelete(before_offset=3)})
        execution = await client.ask("greet")
        async with running(client.platform, ["intake"]):
            story = await client.story(execution)
            letters = await client.letters()

    assert story.status == "COMPLETED"
    assert letters == []
