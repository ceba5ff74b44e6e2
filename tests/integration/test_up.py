"""The whole installation in one process of the command line, on a broker that is named."""

from __future__ import annotations

import signal
from pathlib import Path

from noetl_stream.settings import Settings
from tests.integration.client import connected
from tests.integration.processes import end, roles
from tests.integration.test_requests import GREET


async def test_up_completes_what_is_asked_and_ends_in_order(settings: Settings, command: Path) -> None:
    async with roles(command, settings) as started:
        process = await started.start("up")
        async with connected(settings) as client:
            story = await client.run(GREET)
        await end(process, signal.SIGTERM)

    assert story.status == "COMPLETED"
    assert process.returncode == 0
