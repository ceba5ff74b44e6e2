"""Ends of transfers for tests: real ones, each filled and read by transfers too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.transfer.tool import Transfer
from tests.tools.conftest import Run, runner


@pytest.fixture
async def tool() -> AsyncIterator[Transfer]:
    tool = Transfer()
    yield tool
    await tool.close()


@pytest.fixture
def run(tool: Transfer) -> Run:
    return runner(tool)


def secrets(**urls: str) -> dict[str, Any]:
    """What a call is given beside its config: credentials by the names of its ends."""
    return {"credentials": {name: Secret(name, url) for name, url in urls.items()}}
