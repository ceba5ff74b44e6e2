"""Finds a real Apache Kafka for the tests: the one a user names, else a container, else its jars on the JVM here.
Where none can be had, the reason is one sentence to print."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.children import ServerMissing, answers, free_port
from tests.kafka_node import NodeConfig, kafka_jars, nodes_here, require_java, start_node

ADDRESS = "NOETL_TEST_KAFKA"
VERSIONS = ("4.4.0", "4.3.1")  # newest first; a package mirror may lag behind
IMAGE = f"apache/kafka:{VERSIONS[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A Kafka that answers at `bootstrap`; `stop` ends what we started and leaves alone what was given."""

    bootstrap: str
    origin: str
    stop: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No Kafka can be had here."""

    reason: str


def resolve() -> Cluster | Unavailable:
    """A running Apache Kafka, or why there is none.

    Raises:
        ConnectionError: the address a user gave does not answer.
        ChildFailed: all that Kafka needs is here, and yet it did not start.
    """
    if address := os.environ.get(ADDRESS):
        return _given(address)
    reasons = []
    for start in (_container, _jvm):
        try:
            return start()
        except ServerMissing as missing:
            reasons.append(str(missing))
    return Unavailable(f"{'; '.join(reasons)}; or name a broker in {ADDRESS}=host:port")


def _given(address: str) -> Cluster:
    if not answers(address):
        raise ConnectionError(f"no Kafka answers at {ADDRESS}={address}: start it, or unset {ADDRESS}")
    return Cluster(bootstrap=address, origin=f"given by {ADDRESS}", stop=lambda: None)


def _container() -> Cluster:
    """The official image, with the settings of a node on the JVM."""
    from docker.errors import DockerException  # type: ignore[import-untyped]
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    require_engine()
    container = DockerContainer(IMAGE)
    host, port = container.get_docker_client().host(), free_port()
    container.with_bind_ports(9092, port).with_envs(
        **as_environment(in_a_container(1, f"{host}:{port}", {1: "localhost"}))
    )
    container.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(120))
    try:
        container.start()
    except (DockerException, OSError, RuntimeError) as error:
        container.stop()
        raise ServerMissing(f"the container engine cannot run {IMAGE} ({str(error)[:160]})") from error
    return Cluster(bootstrap=f"{host}:{port}", origin=f"{IMAGE}, a container", stop=container.stop)


def as_environment(config: NodeConfig) -> dict[str, str]:
    """The node's settings as the official image takes them."""
    settings = config.properties()
    return {"KAFKA_" + name.upper().replace(".", "_"): value for name, value in settings.items()}


def in_a_container(node_id: int, published: str, names: Mapping[int, str]) -> NodeConfig:
    """A node whose network gives each node a name; clients reach it at `published`."""
    return NodeConfig(
        node_id=node_id,
        host="",
        ports=(9092, 19092, 9093),
        advertised=(published, f"{names[node_id]}:19092"),
        voters={node: f"{name}:9093" for node, name in names.items()},
    )


def require_engine() -> None:
    """Raises ServerMissing where no container engine answers."""
    from docker.errors import DockerException
    from testcontainers.core.docker_client import DockerClient

    # docker-py leaves the socket of a refused connection to the garbage collector, which then warns.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        try:
            DockerClient(timeout=5).client.ping()
            return
        except DockerException as error:
            trouble = str(error)[:160]
        gc.collect()
    raise ServerMissing(f"no container engine answers ({trouble})")


def _jvm() -> Cluster:
    version, jars = jvm_jars()
    node = start_node(nodes_here(1)[0], jars)
    node.child.wait_until_ready()
    origin = f"{version}, its jars from Maven, on the JVM"
    return Cluster(bootstrap=node.config.listener, origin=origin, stop=node.child.remove)


def jvm_jars(*more: str) -> tuple[str, Path]:
    """The newest version that can be had, and its jars, `more` of its artifacts with them.

    Raises:
        ServerMissing: the JVM is too old, or Maven resolves none.
    """
    require_java()
    reasons = []
    for version in VERSIONS:
        try:
            return version, kafka_jars(version, *more)
        except ServerMissing as missing:
            reasons.append(str(missing))
    raise ServerMissing("; ".join(reasons))
