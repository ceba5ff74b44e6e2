"""Runs Apache Kafka on this machine's JVM, in KRaft mode: its jars by Maven, once for each user, and its nodes as
child processes that end with the process that started them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

HOST = "127.0.0.1"
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

# `read` returns when the pipe's other end closes, however its owner ended. A dying node may still add a file.
_GUARD = 'read _; kill -9 "$0"; for _ in 1 2 3; do rm -rf "$1" && break; sleep 1; done'


class KafkaMissing(Exception):
    """This machine cannot provide what a node needs; the message says what."""


class NodeFailed(Exception):
    """A node did not start; the message ends with the end of its log."""


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


@dataclass(slots=True, kw_only=True)
class Node:
    """A node's folder, and the process that runs on it while it is up.

    It is killed, and its folder removed, when this process ends in any way.
    """

    config: NodeConfig
    directory: Path
    jars: Path
    _running: tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Run on what the folder holds. The nodes of a quorum become ready together."""
        assert self._running is None, f"node {self.config.node_id} runs already"
        with (self.directory / "node.log").open("ab") as log:
            process = subprocess.Popen(
                [*java_command(self.jars), "kafka.Kafka", str(self.directory / "server.properties")],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._running = process, guard(process, self.directory)

    def wait_until_ready(self, within: float = 60.0) -> None:
        """Return once the node accepts connections.

        Raises:
            NodeFailed: it ended, or `within` seconds passed; the node is then killed.
        """
        assert self._running is not None, f"node {self.config.node_id} was not started"
        deadline = time.monotonic() + within
        while not answers(self.config.listener):
            if _ended(self._running[0], within=0.05) or time.monotonic() > deadline:
                log = (self.directory / "node.log").read_text(errors="replace")[-2000:]
                self.kill()
                raise NodeFailed(f"Kafka's node {self.config.node_id} was not ready in {within:g} s: {log}")

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP leaves it connected and silent, until SIGCONT."""
        assert self._running is not None, f"node {self.config.node_id} is down"
        self._running[0].send_signal(number)

    def crash(self) -> None:
        """End the process at once; what it wrote stays for the next start."""
        if self._running is not None:
            process, guarding = self._running
            guarding.kill()
            process.kill()
            guarding.communicate()
            process.wait()
            self._running = None

    def kill(self) -> None:
        """End it at once, and remove its folder."""
        self.crash()
        shutil.rmtree(self.directory)


def start_node(config: NodeConfig, jars: Path) -> Node:
    """Format a fresh storage folder and start a node on it.

    Raises:
        NodeFailed: the storage folder could not be formatted.
    """
    directory = Path(mkdtemp(prefix="noetl-kafka-"))
    settings = directory / "server.properties"
    properties = {**config.properties(), "log.dirs": str(directory / "log")}
    settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, directory)
        _format(config, settings, jars)
        node = Node(config=config, directory=directory, jars=jars)
        node.start()
        undo.pop_all()
    return node


def guard(process: subprocess.Popen[bytes], directory: Path) -> subprocess.Popen[bytes]:
    """A shell that kills `process` and removes `directory` once this process is gone."""
    command = ["sh", "-c", _GUARD, str(process.pid), str(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


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


def free_port() -> int:
    """A port on this machine that nothing listens on now."""
    with socket.create_server((HOST, 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


def answers(address: str) -> bool:
    """Whether something accepts a connection at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def kafka_jars(version: str, *more: str) -> Path:
    """The folder of Kafka's jars, `more` of its artifacts with them, in this user's cache. Several processes may ask
    at once.

    Raises:
        KafkaMissing: there is no Maven, or it could not resolve this version.
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
        KafkaMissing: there is none, or it is too old.
    """
    if not (java := _java_binary()):
        raise KafkaMissing(f"no `java` on the PATH (Kafka needs {OLDEST_JAVA} or newer)")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise KafkaMissing(f"Kafka needs Java {OLDEST_JAVA} or newer; {java} says {said.splitlines()[:1]}")


def _resolve_by_maven(version: str, more: Iterable[str], folder: Path) -> None:
    if not (maven := shutil.which("mvn")):
        raise KafkaMissing("no `mvn` on the PATH to fetch Kafka's jars with")
    added = "".join(_DEPENDENCY.format(artifact=artifact, version=version) for artifact in more)
    (folder / "pom.xml").write_text(_POM.format(version=version, more=added))
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'jars'}"]
    command = [maven, "-q", "-B", "-f", str(folder / "pom.xml"), *goal]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if run.returncode != 0 or not any((folder / "jars").glob("kafka_*.jar")):
        error = next((line for line in run.stdout.splitlines() if "ERROR" in line), run.stderr.strip())
        raise KafkaMissing(f"Maven cannot resolve Kafka {version}: {error[:300]}")


def _format(config: NodeConfig, settings: Path, jars: Path) -> None:
    # One word: an id that starts with a dash would be read as an option.
    arguments = ["format", f"--cluster-id={config.cluster_id}", "--config", str(settings)]
    command = [*java_command(jars), "kafka.tools.StorageTool", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if run.returncode != 0:
        raise NodeFailed(f"Kafka's storage folder could not be formatted: {run.stdout}{run.stderr}")


def java_command(jars: Path) -> list[str]:
    """A small JVM with these jars, to be followed by the name of a class."""
    return [_java_binary() or "java", *_JVM, "-cp", f"{jars}/*"]


def _java_binary() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else shutil.which("java")


def _ended(process: subprocess.Popen[bytes], *, within: float) -> bool:
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True
