"""Runs Apache Kafka on this machine's JVM, in KRaft mode: its jars by Maven, once for each user, and its nodes as
child processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from tests.children import HOST, Child, ChildFailed, ServerMissing, answers, free_port

OLDEST_JAVA = 17  # Kafka 4's brokers need it

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>noetl</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
{more}    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""

_DEPENDENCY = """\
    <dependency><groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>
"""

# Small and quick to start: these brokers live for minutes.
_JVM = (
    "-Xmx400m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)

_ALONE = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
}
_OF_THREE = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}

FOR_TESTS = {
    "auto.create.topics.enable": "true",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    # How late a transaction's timeout may be noticed; 10 s by default.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    # How soon retention and compaction look after what has just been written; minutes by default.
    "log.cleaner.backoff.ms": "100",
    "log.retention.check.interval.ms": "100",
    "log.initial.task.delay.ms": "100",
    # How soon a node that is gone is missed; 9 s by default, and 30 s for a replica.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    "replica.lag.time.max.ms": "3000",
    "replica.socket.timeout.ms": "3000",
    "controller.quorum.fetch.timeout.ms": "1500",
    "controller.quorum.request.timeout.ms": "1500",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.election.backoff.max.ms": "500",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One broker that is also a controller.

    It listens on `host` (empty: everywhere) for clients OUTSIDE, brokers INSIDE and for its CONTROLLER, at `ports` in
    that order. `advertised` are the addresses that clients and brokers are told; `voters` gives every node's controller
    address by node id.
    """

    node_id: int
    host: str
    ports: tuple[int, int, int]
    advertised: tuple[str, str]
    voters: Mapping[int, str]
    cluster_id: str = "noetl-stream-tests-001"  # 16 bytes in URL-safe base64

    @property
    def listener(self) -> str:
        """Where clients reach it."""
        return self.advertised[0]

    def properties(self) -> dict[str, str]:
        """The node's settings, under their names in `server.properties`."""
        return {**self.essentials(), **FOR_TESTS}

    def essentials(self) -> dict[str, str]:
        """Those that any cluster of this shape needs; compose has the same."""
        outside, inside, controller = (f"{self.host}:{port}" for port in self.ports)
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(f"{node}@{at}" for node, at in self.voters.items()),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": f"OUTSIDE://{outside},INSIDE://{inside},CONTROLLER://{controller}",
            "advertised.listeners": "OUTSIDE://{},INSIDE://{}".format(*self.advertised),
            "inter.broker.listener.name": "INSIDE",
            "group.initial.rebalance.delay.ms": "0",
            **(_OF_THREE if len(self.voters) > 2 else _ALONE),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A broker on the JVM, and its process. The nodes of a quorum become ready together."""

    config: NodeConfig
    child: Child


def start_node(config: NodeConfig, jars: Path) -> Node:
    """Format a fresh storage folder and start a node on it.

    Raises:
        ChildFailed: the storage folder could not be formatted.
    """
    directory = Path(mkdtemp(prefix="noetl-kafka-"))
    settings = directory / "server.properties"
    properties = {**config.properties(), "log.dirs": str(directory / "log")}
    settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    child = Child(
        name=f"Kafka's node {config.node_id}",
        command=[*java_command(jars), "kafka.Kafka", str(settings)],
        directory=directory,
        ready=lambda: answers(config.listener),
    )
    with ExitStack() as undo:
        undo.callback(child.remove)
        _format(config, settings, jars)
        child.start()
        undo.pop_all()
    return Node(config=config, child=child)


def nodes_here(count: int) -> list[NodeConfig]:
    """The nodes of one cluster, on free ports of this machine."""
    ports = {node: (free_port(), free_port(), free_port()) for node in range(1, count + 1)}
    voters = {node: f"{HOST}:{controller}" for node, (_, _, controller) in ports.items()}
    return [
        NodeConfig(
            node_id=node,
            host=HOST,
            ports=(outside, inside, controller),
            advertised=(f"{HOST}:{outside}", f"{HOST}:{inside}"),
            voters=voters,
        )
        for node, (outside, inside, controller) in ports.items()
    ]


def kafka_jars(version: str, *more: str) -> Path:
    """The folder of Kafka's jars, `more` of its artifacts with them, in this user's cache. Several processes may ask
    at once.

    Raises:
        ServerMissing: there is no Maven, or it could not resolve this version.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noetl_stream"
    jars = cache / "-".join(("kafka", version, *more))
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix=f"kafka-{version}-") as scratch:
        _resolve_by_maven(version, more, Path(scratch))
        try:
            (Path(scratch) / "jars").rename(jars)
        except OSError:
            if not jars.is_dir():  # else another process was first, with the same jars
                raise
    return jars


def require_java() -> None:
    """Check that the JVM here is recent enough.

    Raises:
        ServerMissing: there is none, or it is too old.
    """
    if not (java := _java_binary()):
        raise ServerMissing(f"no `java` on the PATH (Kafka needs {OLDEST_JAVA} or newer)")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise ServerMissing(f"Kafka needs Java {OLDEST_JAVA} or newer; {java} says {said.splitlines()[:1]}")


def _resolve_by_maven(version: str, more: Iterable[str], folder: Path) -> None:
    if not (maven := shutil.which("mvn")):
        raise ServerMissing("no `mvn` on the PATH to fetch Kafka's jars with")
    added = "".join(_DEPENDENCY.format(artifact=artifact, version=version) for artifact in more)
    (folder / "pom.xml").write_text(_POM.format(version=version, more=added))
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'jars'}"]
    command = [maven, "-q", "-B", "-f", str(folder / "pom.xml"), *goal]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if run.returncode != 0 or not any((folder / "jars").glob("kafka_*.jar")):
        error = next((line for line in run.stdout.splitlines() if "ERROR" in line), run.stderr.strip())
        raise ServerMissing(f"Maven cannot resolve Kafka {version}: {error[:300]}")


def _format(config: NodeConfig, settings: Path, jars: Path) -> None:
    # One word: an id that starts with a dash would be read as an option.
    arguments = ["format", f"--cluster-id={config.cluster_id}", "--config", str(settings)]
    command = [*java_command(jars), "kafka.tools.StorageTool", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if run.returncode != 0:
        raise ChildFailed(f"Kafka's storage folder could not be formatted: {run.stdout}{run.stderr}")


def java_command(jars: Path) -> list[str]:
    """A small JVM with these jars, to be followed by the name of a class."""
    return [_java_binary() or "java", *_JVM, "-cp", f"{jars}/*"]


def _java_binary() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else shutil.which("java")
