"""The brokers that Faust is asked about."""

from __future__ import annotations

import pytest

from tests.integration.conftest import BROKERS


@pytest.fixture(scope="session", params=BROKERS)
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The address of the broker under test."""
    address: str = request.getfixturevalue(f"{request.param}_bootstrap")
    return address
