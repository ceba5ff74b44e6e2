"""`broker` and what is below it, as people use it; and commands whose embedded broker dies under them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Certificates, certificates
from tests.cli.commands import COMMAND, environment, noetl, started, written
from tests.cli.documents import HELLO, SLEEPING

pytestmark = pytest.mark.slow


@contextmanager
def running(*arguments: object) -> Iterator[Mapping[str, Any]]:
    """`noetl-stream broker` and where its things are; SIGTERM ends it in order."""
    broker = started("broker", *arguments, "--port", 0, "--json")
    assert broker.stdout is not None
    try:
        yield json.loads(broker.stdout.readline())
    finally:
        broker.send_signal(signal.SIGTERM)
        _, err = broker.communicate(timeout=20)
    assert broker.returncode == 0, err


def with_password(password: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command that is given a password on its standard input."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=f"{password}\n",
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_users_are_set_listed_and_deleted(tmp_path: Path) -> None:
    assert (
        with_password("secret", "broker", "user", "set", "ann", "--data", tmp_path).stdout
        == "ann may log in\n"
    )
    assert with_password("secret", "broker", "--data", tmp_path, "user", "set", "bob").returncode == 0
    assert noetl("broker", "user", "list", "--data", tmp_path, "--json").json() == ["ann", "bob"]

    assert noetl("broker", "user", "delete", "ann", "--data", tmp_path).code == 0
    again = noetl("broker", "user", "delete", "ann", "--data", tmp_path)

    assert (again.code, again.err.splitlines()) == (
        2,
        ["there is no user 'ann'; `noetl-stream broker user list` shows all"],
    )
    assert noetl("broker", "user", "list", "--data", tmp_path).out == "bob\n"


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    ended = with_password("", "broker", "user", "set", "ann", "--data", tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.startswith("an empty password protects nothing")


def test_metrics_are_served_where_it_says(tmp_path: Path) -> None:
    with running("--data", tmp_path, "--metrics-port", 0) as place:
        with urllib.request.urlopen(place["metrics"], timeout=5) as answer:
            assert b"noetl_broker_connections 0.0" in answer.read()
        assert place["data"] == str(tmp_path / "broker")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--fsync", "never"], "there is no --fsync never; use commit, interval or none"),
        (
            ["--tls-key", "key.pem"],
            "--tls-key and --tls-client-ca need a --tls-certificate; name one as well",
        ),
    ],
)
def test_options_that_make_no_sense_are_said(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    ended = noetl("broker", "--data", tmp_path, *arguments)

    assert (ended.code, ended.err) == (2, f"{sentence}\n")


def test_an_address_that_is_not_ours_is_infrastructure(tmp_path: Path) -> None:
    ended = noetl("broker", "--data", tmp_path, "--host", "192.0.2.1", "--port", 0)

    assert ended.code == 3
    assert ended.err.splitlines()[-1].startswith("cannot listen at 192.0.2.1:0")


def test_damage_is_found_named_and_put_right(tmp_path: Path) -> None:
    noetl("run", written(tmp_path, "hello.yaml", HELLO), "--data", tmp_path)
    assert noetl("broker", "check", tmp_path).out == "everything is sound\n"
    log = max(tmp_path.glob("broker/logs/noetl.catalog-*/0/*.log"), key=lambda path: path.stat().st_size)
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 0xFF
    log.write_bytes(content)

    found = noetl("broker", "check", tmp_path / "broker", "--json")
    recovered = noetl("broker", "recover", tmp_path / "broker")

    assert found.code == 3
    assert str(log) in {finding["path"] for finding in found.json()}
    assert str(log) in recovered.out
    assert noetl("broker", "check", tmp_path).code == 0


def test_a_folder_without_a_broker_is_said(tmp_path: Path) -> None:
    ended = noetl("broker", "check", tmp_path)

    assert (ended.code, ended.err.partition(";")[0]) == (3, f"{tmp_path} holds no broker's data")


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


def test_a_playbook_runs_over_tls_with_a_login(tmp_path: Path, certified: Certificates) -> None:
    """Every client takes part: admin, producers, readers, and Faust's consumers."""
    file = written(tmp_path, "hello.yaml", HELLO)
    with_password("secret", "broker", "user", "set", "ann", "--data", tmp_path / "kafka")
    login = {
        "security_protocol": "SASL_SSL",
        "sasl_username": "ann",
        "sasl_password_file": written(tmp_path, "password", "secret\n"),
        "tls_ca": certified.authority,
        "data": tmp_path / "own",
    }
    tls = ("--tls-certificate", certified.certificate, "--tls-key", certified.key)
    with running("--data", tmp_path / "kafka", "--sasl", *tls) as place:
        ran = noetl("run", file, "--bootstrap", place["bootstrap"], "--json", settings=login)
        listed = noetl("topics", "--bootstrap", place["bootstrap"], "--json", settings=login)
        wrong = {**login, "sasl_password_file": written(tmp_path, "wrong", "guess"), "timeout": 1}
        refused = noetl("list", "--bootstrap", place["bootstrap"], settings=wrong)

    assert ran.code == 0, ran.err
    assert ran.json()["status"] == "COMPLETED"
    assert "noetl.events" in {topic["topic"] for topic in listed.json()}
    assert refused.code == 3
    assert "to a login as 'ann' over SASL_SSL; is it running" in refused.err
    assert "guess" not in refused.err


def test_a_login_without_its_parts_is_invalid_input(tmp_path: Path) -> None:
    ended = noetl("list", "--bootstrap", "127.0.0.1:1", settings={"security_protocol": "SASL_PLAINTEXT"})

    assert ended.code == 2
    assert ended.err.startswith(
        "a login needs NOETL_STREAM_SASL_USERNAME and NOETL_STREAM_SASL_PASSWORD_FILE"
    )


def test_an_embedded_broker_of_ones_own_asks_for_no_login(tmp_path: Path) -> None:
    """Settings for a cluster stand in the environment; `run` without a cluster still works."""
    ran = noetl(
        "run", written(tmp_path, "hello.yaml", HELLO), settings={"security_protocol": "SASL_PLAINTEXT"}
    )

    assert ran.code == 0, ran.err


def test_up_ends_when_its_broker_dies(tmp_path: Path) -> None:
    up = started("up", "--data", tmp_path, "--port", 0, "--json")
    assert up.stdout is not None
    up.stdout.readline()
    os.kill(json.loads((tmp_path / "broker" / "broker.json").read_text())["pid"], signal.SIGKILL)

    _, err = up.communicate(timeout=20)

    assert up.returncode == 3
    assert "the embedded broker ended with code -9 while it was needed; read" in err.splitlines()[-1]


def test_run_ends_when_its_broker_dies(tmp_path: Path) -> None:
    run = started("run", written(tmp_path, "sleeping.yaml", SLEEPING), "--data", tmp_path)
    assert run.stderr is not None
    assert any("start" in line for line in run.stderr)  # its first step has begun
    os.kill(json.loads((tmp_path / "broker" / "broker.json").read_text())["pid"], signal.SIGKILL)

    _, err = run.communicate(timeout=30)

    assert run.returncode == 3
    assert "the embedded broker ended with code -9" in err.splitlines()[-1]
