"""Installations of a test's own, on either broker: their topics stand under a prefix that no other test uses."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from noetl_stream.settings import Settings
from tests.integration.client import installed
from tests.integration.demo import DEMO, Outcome, outcome
from tests.integration.processes import COMMAND


@pytest.fixture(scope="session")
def command() -> Path:
    """The command line of this environment."""
    return COMMAND


def settings_at(bootstrap: str, folder: Path) -> Settings:
    """An installation that nobody else uses; its event log has two partitions."""
    return Settings(
        bootstrap=bootstrap,
        data=folder,
        prefix=f"it-{uuid4().hex[:8]}.",
        partitions=2,
        reply_topics=("replies-*",),
    )


@pytest.fixture
def settings(bootstrap: str, tmp_path: Path) -> Settings:
    return settings_at(bootstrap, tmp_path)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def undisturbed(embedded_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What the demo comes to when nobody disturbs it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    async with installed(settings_at(embedded_bootstrap, folder)) as client:
        return await outcome(client, await client.run(DEMO, {"out": str(folder)}), folder)
