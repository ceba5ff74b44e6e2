"""Gives every test of the Kafka contract clients of the broker under test."""

from __future__ import annotations

import pytest

from tests.contract.clients import Kafka


@pytest.fixture
def kafka(bootstrap: str) -> Kafka:
    return Kafka(bootstrap=bootstrap)
