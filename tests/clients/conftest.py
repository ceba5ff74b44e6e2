"""Gives other people's clients a broker: the embedded one, and a real Apache Kafka to show that the tests are right."""

from __future__ import annotations

import pytest

from tests.contract.conftest import BROKERS


@pytest.fixture(scope="session", params=BROKERS)
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The address of the broker that a client is tried on."""
    address: str = request.getfixturevalue(f"{request.param}_bootstrap")
    return address
