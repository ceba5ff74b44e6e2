"""Long loops and large data simply work: within their records, their memory, and their time; `tests.campaigns.bulks` has
the full sizes."""

from __future__ import annotations

from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from typing import TypeAlias

import pytest
import pytest_asyncio

from tests.campaigns.bulk import BULKS, LATEST, Bulk
from tests.campaigns.bulks import laid_out, measured
from tests.integration.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

Installed: TypeAlias = tuple[Client, dict[str, Process]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installed(
    embedded_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installed]:
    """Roles in processes, shared by these tests: what their memory peaks at is the worst of all."""
    async with laid_out(embedded_bootstrap, tmp_path_factory.mktemp("large")) as found:
        yield found


@pytest.mark.parametrize("bulk", BULKS.values(), ids=BULKS)
async def test_bulk_comes_to_its_result_in_small_records_and_is_replayed_to_the_same_state(
    installed: Installed, bulk: Bulk
) -> None:
    client, processes = installed

    found = await measured(client, bulk, bulk.few, processes)

    assert found.violations == []


async def test_the_state_of_a_loop_does_not_grow_with_its_length(installed: Installed) -> None:
    """What iterations bring leaves it in chunks, and of what they write only the latest stays."""
    client, processes = installed

    found = await measured(client, LATEST, 3_000, processes)

    assert found.violations == []
    assert 0 < found.state.largest < 128 * 1024
