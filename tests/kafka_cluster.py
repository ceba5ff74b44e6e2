"""Finds a real Apache Kafka for the tests: the one a user names, else a container, else its jars on the JVM here.
Where none can be had, the reason is one sentence to print."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from tests.kafka_node import (
    KafkaMissing,
    NodeConfig,
    answers,
    free_port,
    kafka_jars,
    require_java,
    single_node,
    start_node,
)

ADDRESS = "NOETL_TEST_KAFKA"
VERSIONS = ("4.4.0", "4.3.1")  # newest first; a package mirror may lag behind


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
        NodeFailed: all that Kafka needs is here, and yet it did not start.
    """
    if address := os.environ.get(ADDRESS):
        return _given(address)
    reasons = []
    for start in (_container, _jvm):
        try:
            return start()
        except KafkaMissing as missing:
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

    _require_engine()
    image = f"apache/kafka:{VERSIONS[0]}"
    container = DockerContainer(image)
    host, port = container.get_docker_client().host(), free_port()
    container.with_bind_ports(9092, port).with_envs(**_as_environment(f"{host}:{port}"))
    container.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(120))
    try:
        container.start()
    except (DockerException, OSError, RuntimeError) as error:
        container.stop()
        raise KafkaMissing(f"the container engine cannot run {image} ({str(error)[:160]})") from error
    return Cluster(bootstrap=f"{host}:{port}", origin=f"{image}, a container", stop=container.stop)


def _as_environment(published: str) -> dict[str, str]:
    """The node's settings as the official image takes them."""
    node = NodeConfig(node_id=1, listener="0.0.0.0:9092", voters={1: "localhost:9093"})
    settings = {**node.properties(), "advertised.listeners": f"PLAINTEXT://{published}"}
    return {"KAFKA_" + name.upper().replace(".", "_"): value for name, value in settings.items()}


def _require_engine() -> None:
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
    raise KafkaMissing(f"no container engine answers ({trouble})")


def _jvm() -> Cluster:
    require_java()
    reasons = []
    for version in VERSIONS:
        try:
            jars = kafka_jars(version)
        except KafkaMissing as missing:
            reasons.append(str(missing))
            continue
        node = start_node(single_node(), jars)
        node.wait_until_ready()
        origin = f"{version}, its jars from Maven, on the JVM"
        return Cluster(bootstrap=node.config.listener, origin=origin, stop=node.kill)
    raise KafkaMissing("; ".join(reasons))
