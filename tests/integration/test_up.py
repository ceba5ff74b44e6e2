"""The whole installation in one process of the command line, on a broker that is named."""

from __future__ import annotations

import signal
from pathlib import Path

from noetl_stream.settings import Settings
from noetl_stream.wiring_chores import PLAYBOOKS
from tests.integration.client import connected
from tests.integration.processes import end, roles
from tests.integration.test_requests import GREET

CHORES = tuple(PLAYBOOKS.glob("*.yaml"))


async def test_up_completes_what_is_asked_and_its_own_chores_and_ends_in_order(
    settings: Settings, command: Path
) -> None:
    async with roles(command, settings) as started:
        process = await started.start("up")
        async with connected(settings) as client:
            story = await client.run(GREET)
            chores = {file.stem: client.platform.catalog.lookup(f"system/{file.stem}") for file in CHORES}
            cleared = await client.story(await client.ask("system/clear_scratch"))
        await end(process, signal.SIGTERM)

    assert story.status == "COMPLETED"
    assert {"alert", "clear_scratch", "expire_results", "renew_keys"} <= chores.keys()
    assert None not in chores.values()
    assert cleared.status == "COMPLETED"
    assert process.returncode == 0
