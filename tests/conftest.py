"""Servers that several folders of tests share: the embedded broker, and real ones where they can be had."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import hypothesis
import pytest

from noetl_stream.broker.launch import start_broker
from tests import nats_server, postgres_server
from tests.children import ServerMissing
from tests.histories.builder import HABITS
from tests.kafka_cluster import Unavailable, resolve
from tests.tools.engine_api import EngineServer, serving_engine
from tests.tools.kubernetes_api import Api, serving_api

FOUND = pytest.StashKey[dict[str, str]]()
"""Each real server that a test asked for: what it is, or why there is none."""

LIMIT = pytest.StashKey[Any]()
"""The time limit of a test, as pytest-timeout has it."""

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
    cluster = resolve()
    if isinstance(cluster, Unavailable):
        missed(pytestconfig, "Apache Kafka", cluster.reason)
    pytestconfig.stash[FOUND]["Apache Kafka"] = cluster.origin
    yield cluster.bootstrap
    cluster.stop()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[postgres_server.Server]:
    """A real PostgreSQL; whoever kills it starts it again. `database` is a test's own part of it."""
    with sought(pytestconfig, "PostgreSQL"), postgres_server.running() as server:
        pytestconfig.stash[FOUND]["PostgreSQL"] = server.version
        yield server


@pytest.fixture
def database(postgres: postgres_server.Server) -> Iterator[str]:
    """The URI of an empty database of PostgreSQL that is the test's own."""
    with postgres.database() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def jetstream(pytestconfig: pytest.Config) -> Iterator[nats_server.Server]:
    """A real NATS server with JetStream; whoever kills it starts it again."""
    with sought(pytestconfig, "NATS"), nats_server.running() as server:
        pytestconfig.stash[FOUND]["NATS"] = server.version
        yield server


@pytest.fixture
def kubernetes() -> Iterator[Api]:
    """As much of a Kubernetes as containers need, the test's own."""
    with serving_api() as api:
        yield api


@pytest.fixture
def engine() -> Iterator[EngineServer]:
    """As much of a container engine as containers need, the test's own."""
    with serving_engine() as server:
        yield server


@contextmanager
def sought(config: pytest.Config, server: str) -> Iterator[None]:
    """Skip what needs a server that this machine does not have."""
    try:
        yield
    except ServerMissing as missing:
        missed(config, server, str(missing))


def missed(config: pytest.Config, server: str, reason: str) -> NoReturn:
    """Skip what needs a server that cannot be had, and say so once more at the end."""
    config.stash[FOUND][server] = f"none, {reason}"
    pytest.skip(f"no {server}: {reason}")


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
    """Say which servers were used, and that the same contract ran on both brokers."""
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            if broker := re.search(r"^tests/contract/.*\[(embedded|apache)", report.nodeid):
                ran[broker[1]] += 1
    for server, what in sorted(config.stash[FOUND].items()):
        terminalreporter.write_line(f"{server}: {what}")
    if ran:
        counts = ", ".join(f"{ran[broker]} on {broker}" for broker in ("embedded", "apache"))
        terminalreporter.write_line(f"contract tests that ran: {counts}")


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    item.stash[LIMIT] = settings


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give a second try its time limit as well: pytest-timeout sets one for the first alone."""
    again = getattr(item, "execution_count", 1) > 1
    if again and LIMIT in item.stash and not item.stash[LIMIT].func_only:
        item.ihook.pytest_timeout_set_timer(item=item, settings=item.stash[LIMIT])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the session that gave us our tests, if there is one, which servers they used."""
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["found"] = session.config.stash[FOUND]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what one of our workers tells; one that crashed tells nothing."""
    node.config.stash[FOUND].update(getattr(node, "workeroutput", {}).get("found", {}))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--always-replay", action="store_true", help="fold each history from zero before every record of it"
    )


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        # Beside other workers, how long one example takes tells how busy they are. The limit of its test holds.
        hypothesis.settings.register_profile("beside others", deadline=None)
        hypothesis.settings.load_profile("beside others")
    HABITS.always_replay = config.getoption("--always-replay")
    config.stash[FOUND] = {}
