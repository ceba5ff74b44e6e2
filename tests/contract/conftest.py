"""Gives every test of the Kafka contract both brokers: the embedded one, and a real Apache Kafka."""

from __future__ import annotations

import pytest

from tests.contract.clients import Kafka

BROKERS = [
    pytest.param("embedded", marks=pytest.mark.slow),
    pytest.param("apache", marks=[pytest.mark.slow, pytest.mark.kafka]),
]


@pytest.fixture(scope="session", params=BROKERS)
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The address of the broker under test."""
    address: str = request.getfixturevalue(f"{request.param}_bootstrap")
    return address


@pytest.fixture
def kafka(bootstrap: str) -> Kafka:
    return Kafka(bootstrap=bootstrap)
