"""Runs Apache Kafka on this machine's JVM, in KRaft mode: its jars by Maven, once for each user, and its nodes as
child processes that end with the process that started them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
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
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""

# Small and quick to start: these brokers live for minutes.
_JVM = (
    "-Xmx512m",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One broker that is also a controller; `voters` gives every node's controller address by node id."""

    node_id: int
    listener: str
    voters: Mapping[int, str]
    cluster_id: str = "noetl-stream-tests-001"  # 16 bytes in URL-safe base64

    def properties(self) -> dict[str, str]:
        """The node's settings, under their names in `server.properties`."""
        copies = str(min(3, len(self.voters)))
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(f"{node}@{at}" for node, at in self.voters.items()),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": f"PLAINTEXT://{self.listener},CONTROLLER://{self.voters[self.node_id]}",
            "advertised.listeners": f"PLAINTEXT://{self.listener}",
            "auto.create.topics.enable": "true",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": "1",
            # How late a transaction's timeout may be noticed; 10 s by default.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A started node. It is killed, and its folder removed, when this process ends in any way."""

    config: NodeConfig
    directory: Path
    _process: subprocess.Popen[bytes]
    _guard: subprocess.Popen[bytes]

    def wait_until_ready(self, within: float = 60.0) -> None:
        """Return once the node accepts connections.

        Raises:
            NodeFailed: it ended, or `within` seconds passed; the node is then killed.
        """
        deadline = time.monotonic() + within
        while not answers(self.config.listener):
            if _ended(self._process, within=0.05) or time.monotonic() > deadline:
                log = (self.directory / "node.log").read_text(errors="replace")[-2000:]
                self.kill()
                raise NodeFailed(f"Kafka's node {self.config.node_id} was not ready in {within:g} s: {log}")

    def kill(self) -> None:
        """End the node at once, as a crash would, and remove its folder."""
        self._guard.kill()
        self._process.kill()
        self._guard.communicate()
        self._process.wait()
        shutil.rmtree(self.directory)


def start_node(config: NodeConfig, jars: Path) -> Node:
    """Format a fresh storage folder and start a node on it. The nodes of a quorum become ready together.

    Raises:
        NodeFailed: the storage folder could not be formatted.
    """
    directory = Path(mkdtemp(prefix="noetl-kafka-"))
    settings = directory / "server.properties"
    properties = {**config.properties(), "log.dirs": str(directory / "log")}
    settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    with ExitStack() as undo, (directory / "node.log").open("wb") as log:
        undo.callback(shutil.rmtree, directory)
        _format(config, settings, jars)
        process = subprocess.Popen(
            [*_java(jars), "kafka.Kafka", str(settings)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        undo.pop_all()
    return Node(config=config, directory=directory, _process=process, _guard=guard(process, directory))


def guard(process: subprocess.Popen[bytes], directory: Path) -> subprocess.Popen[bytes]:
    """A shell that kills `process` and removes `directory` once this process is gone."""
    command = ["sh", "-c", _GUARD, str(process.pid), str(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def single_node() -> NodeConfig:
    """A cluster of one, on free ports."""
    return NodeConfig(node_id=1, listener=f"{HOST}:{free_port()}", voters={1: f"{HOST}:{free_port()}"})


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


def kafka_jars(version: str) -> Path:
    """The folder of Kafka's jars, in this user's cache. Several processes may ask at once.

    Raises:
        KafkaMissing: there is no Maven, or it could not resolve this version.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noetl_stream"
    jars = cache / f"kafka-{version}"
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix=f"kafka-{version}-") as scratch:
        _resolve_by_maven(version, Path(scratch))
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


def _resolve_by_maven(version: str, folder: Path) -> None:
    if not (maven := shutil.which("mvn")):
        raise KafkaMissing("no `mvn` on the PATH to fetch Kafka's jars with")
    (folder / "pom.xml").write_text(_POM.format(version=version))
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'jars'}"]
    command = [maven, "-q", "-B", "-f", str(folder / "pom.xml"), *goal]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if run.returncode != 0 or not any((folder / "jars").glob("kafka_*.jar")):
        error = next((line for line in run.stdout.splitlines() if "ERROR" in line), run.stderr.strip())
        raise KafkaMissing(f"Maven cannot resolve Kafka {version}: {error[:300]}")


def _format(config: NodeConfig, settings: Path, jars: Path) -> None:
    # One word: an id that starts with a dash would be read as an option.
    arguments = ["format", f"--cluster-id={config.cluster_id}", "--config", str(settings)]
    command = [*_java(jars), "kafka.tools.StorageTool", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if run.returncode != 0:
        raise NodeFailed(f"Kafka's storage folder could not be formatted: {run.stdout}{run.stderr}")


def _java(jars: Path) -> list[str]:
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
