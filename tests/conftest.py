"""Brokers that several folders of tests share: the embedded one, and a real Apache Kafka where one can be had."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from noetl_stream.broker.launch import start_broker
from tests.histories.builder import HABITS
from tests.kafka_cluster import Cluster, Unavailable, resolve
from tests.kafka_quorum import Quorum

APACHE = pytest.StashKey[Cluster | Unavailable]()
QUORUM = pytest.StashKey[Quorum | Unavailable]()

BROKERS = [
    pytest.param("embedded", marks=pytest.mark.slow),
    pytest.param("apache", marks=[pytest.mark.slow, pytest.mark.kafka]),
]


@pytest.fixture(scope="session")
def embedded_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an embedded broker that lives as long as the session."""
    broker = start_broker(tmp_path_factory.mktemp("broker"), cleaning_interval=0.1)
    yield broker.bootstrap
    broker.stop()


@pytest.fixture(scope="session")
def apache_bootstrap(pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a real Apache Kafka; tests that ask for it carry the mark `kafka`."""
    cluster = pytestconfig.stash[APACHE] = resolve()
    if isinstance(cluster, Unavailable):
        pytest.skip(f"no Apache Kafka: {cluster.reason}")
    yield cluster.bootstrap
    cluster.stop()


@pytest.fixture(scope="session", params=BROKERS)
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The address of the broker under test."""
    address: str = request.getfixturevalue(f"{request.param}_bootstrap")
    return address


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave fixtures out of the time limit of Kafka's tests: the first one may download Kafka."""
    for item in items:
        if item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.timeout(func_only=True))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which Kafka was used, and that the same contract ran on both brokers."""
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            if broker := re.search(r"^tests/contract/.*\[(embedded|apache)", report.nodeid):
                ran[broker[1]] += 1
    match config.stash.get(APACHE, None):
        case Cluster() as cluster:
            terminalreporter.write_line(f"Apache Kafka: {cluster.origin}")
        case Unavailable(reason):
            terminalreporter.write_line(f"Apache Kafka: none, {reason}")
    match config.stash.get(QUORUM, None):
        case Quorum() as quorum:
            terminalreporter.write_line(f"three brokers: {quorum.origin}")
        case Unavailable(reason):
            terminalreporter.write_line(f"three brokers: none, {reason}")
    if ran:
        counts = ", ".join(f"{ran[broker]} on {broker}" for broker in ("embedded", "apache"))
        terminalreporter.write_line(f"contract tests that ran: {counts}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--always-replay", action="store_true", help="fold each history from zero before every record of it"
    )


def pytest_configure(config: pytest.Config) -> None:
    HABITS.always_replay = config.getoption("--always-replay")
