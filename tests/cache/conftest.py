"""The local S3 that the cache's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.cache.faulty import FaultyStore, faulty
from tests.cache.s3 import S3, s3_server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """Its process lives as long as the session."""
    with s3_server() as server:
        yield server


@pytest_asyncio.fixture
async def proxy(s3: S3) -> AsyncIterator[FaultyStore]:
    """A faulty way to it."""
    async with faulty(s3) as between:
        yield between
