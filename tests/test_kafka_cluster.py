"""The search for a real Kafka: each way is tried in order, and says in one sentence why it is not possible here."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread

import pytest

from tests.children import HOST, free_port
from tests.kafka_cluster import (
    ADDRESS,
    VERSIONS,
    Cluster,
    Unavailable,
    as_environment,
    in_a_container,
    resolve,
)
from tests.kafka_node import kafka_jars, nodes_here

VERSION = "4.0.0"


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a container engine, Java or Maven; the folder that its PATH names."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in (ADDRESS, "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    return programs


@pytest.fixture
def engine_without_images(bare_machine: Path) -> Iterator[None]:
    """A container engine that answers, and can create nothing."""

    class Engine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, {"ApiVersion": "1.47", "MinAPIVersion": "1.24"})

        def do_POST(self) -> None:
            self.answer(500, {"message": "no space left for images"})

        def answer(self, status: int, body: dict[str, str]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *values: object) -> None:
            pass

    with ThreadingUnixStreamServer(str(bare_machine.parent / "docker.sock"), Engine) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield
        server.shutdown()


def program(folder: Path, name: str, *lines: str) -> None:
    """Put a shell script on the bare machine's PATH."""
    script = folder / name
    script.write_text("\n".join(["#!/bin/sh", "PATH=/usr/bin:/bin", *lines, ""]))
    script.chmod(0o755)


def reason() -> str:
    found = resolve()
    assert isinstance(found, Unavailable)
    return found.reason


def test_a_given_address_is_used_and_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as kafka:
        address = f"{HOST}:{kafka.getsockname()[1]}"
        monkeypatch.setenv(ADDRESS, address)

        found = resolve()
        assert isinstance(found, Cluster)
        assert found.bootstrap == address
        found.stop()
        socket.create_connection(kafka.getsockname()).close()


def test_a_given_address_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a Kafka wants that one: a skipped test would hide that it is down."""
    monkeypatch.setenv(ADDRESS, f"{HOST}:{free_port()}")

    with pytest.raises(ConnectionError, match=f"no Kafka answers at {ADDRESS}"):
        resolve()


def test_a_bare_machine_has_none_and_every_reason_is_told() -> None:
    why = reason()

    assert "no container engine answers" in why
    assert "no `java` on the PATH" in why
    assert f"name a broker in {ADDRESS}=host:port" in why


def test_an_engine_that_refuses_connections_is_none(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as refusing:
        refusing.bind(str(tmp_path / "docker.sock"))  # never listens

        assert "Connection refused" in reason()


@pytest.mark.usefixtures("engine_without_images")
def test_an_engine_that_cannot_run_the_image_is_passed_over() -> None:
    why = reason()

    assert "the container engine cannot run apache/kafka" in why
    assert "no `java` on the PATH" in why


def test_an_old_java_is_named(bare_machine: Path) -> None:
    program(bare_machine, "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")

    why = reason()

    assert "Kafka needs Java 17 or newer" in why
    assert "11.0.2" in why


def test_a_maven_that_cannot_resolve_kafka_is_quoted_for_each_version(bare_machine: Path) -> None:
    program(bare_machine, "java", """echo 'openjdk version "21.0.1" 2023-10-17' >&2""")
    program(bare_machine, "mvn", "echo '[ERROR] Could not transfer artifact: repository is offline'; exit 1")

    why = reason()

    for version in VERSIONS:
        assert f"Maven cannot resolve Kafka {version}: [ERROR] Could not transfer artifact" in why


def test_a_session_that_fetched_the_same_jars_first_is_left_its_folder(
    bare_machine: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "cache" / "noetl_stream" / f"kafka-{VERSION}"
    target = 'for word in "$@"; do case $word in -DoutputDirectory=*) ours=${word#*=};; esac; done'
    fetch = f"for jars in $ours {theirs}; do mkdir $jars; echo $jars > $jars/kafka_2.13.jar; done"
    program(bare_machine, "mvn", target, fetch)

    assert kafka_jars(VERSION) == theirs
    assert (theirs / "kafka_2.13.jar").read_text() == f"{theirs}\n"
    assert list(theirs.parent.iterdir()) == [theirs]


def test_jars_once_resolved_need_no_maven(bare_machine: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / "noetl_stream" / f"kafka-{VERSION}").mkdir(parents=True)

    assert kafka_jars(VERSION).is_dir()


def test_a_node_of_three_names_every_voter_and_keeps_three_copies() -> None:
    nodes = nodes_here(3)

    properties = nodes[1].properties()

    assert properties["controller.quorum.voters"] == ",".join(
        f"{n}@{address}" for n, address in nodes[0].voters.items()
    )
    assert f"CONTROLLER://{nodes[1].voters[2]}" in properties["listeners"]
    assert f"OUTSIDE://{nodes[1].listener}" in properties["advertised.listeners"]
    assert properties["offsets.topic.replication.factor"] == "3"
    assert properties["min.insync.replicas"] == "2"


def test_nodes_in_containers_find_each_other_by_name_and_clients_find_them_here() -> None:
    settings = as_environment(in_a_container(2, "localhost:4002", {1: "a", 2: "b", 3: "c"}))

    assert settings["KAFKA_CONTROLLER_QUORUM_VOTERS"] == "1@a:9093,2@b:9093,3@c:9093"
    assert settings["KAFKA_LISTENERS"] == "OUTSIDE://:9092,INSIDE://:19092,CONTROLLER://:9093"
    assert settings["KAFKA_ADVERTISED_LISTENERS"] == "OUTSIDE://localhost:4002,INSIDE://b:19092"
