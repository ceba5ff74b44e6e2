"""An agent's worker is killed while the model thinks: another worker takes the step, and the conversation goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from noetl_stream.settings import Settings
from tests.integration.client import LIMIT, installed
from tests.integration.processes import kill, roles
from tests.playbooks.examples import AGENT, PLAYBOOKS
from tests.playbooks.model_server import Answer, Model, answering, calls, found, lacks
from tests.tools import mcp_server
from tests.tools.conftest import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The model and the shop are on this machine."""
    return settings.model_copy(update={"allow_private": True})


async def test_an_agent_outlives_its_worker(settings: Settings, command: Path) -> None:
    model = Model(
        plans=[
            calls("price", {"item": "tea", "count": 3}),
            Answer(body="{}", wait=True),
            calls("discount", {"total": 36}, key="call_2"),
        ],
        verdicts=[lacks("the discount"), found("32.40")],
    )
    with answering(model), mcp_server.serving() as shop:
        async with (
            installed(settings, "intake", "orchestrator") as client,
            roles(command, settings) as started,
        ):
            for file in (AGENT.file, "agent/discount.yaml"):
                await client.register((PLAYBOOKS / file).read_text())
            doomed = await started.start("worker")
            execution = await client.ask(AGENT.catalog_path, {"model": model.url, "shop": shop.url})
            await until(lambda: sum("tools" in request for request in model.seen) == 2)
            await kill(doomed)
            await started.begin("worker")
            await client.told(execution, limit=2 * LIMIT)
            story = await client.story(execution)

    assert story.end is not None
    result = story.end.result
    assert isinstance(result, dict)
    assert (result["status"], result["answer"], result["turns"]) == ("reached", "32.40", 2)
    acted = [each["content"] for each in result["transcript"] if each["role"] == "tool"]
    assert [json.loads(each) for each in acted] == [{"item": "tea", "total": 36}, {"pays": 32.4}]
