"""The servers that tests start themselves: what they keep through a kill, and that nothing of them stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import psycopg
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from psycopg.errors import OperationalError, UndefinedTable

from tests import nats_server, postgres_server
from tests.children import Child, ChildFailed, ServerMissing

ROOT = Path(__file__).parents[1]


@asynccontextmanager
async def connected(server: nats_server.Server) -> AsyncIterator[Client]:
    client = await nats.connect(server.url, allow_reconnect=False)
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.slow
def test_a_postgres_keeps_through_a_kill_what_was_committed_and_nothing_else(
    postgres: postgres_server.Server,
) -> None:
    with postgres.database() as dsn:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE kept (n int)")
            connection.execute("INSERT INTO kept VALUES (1)")
            connection.commit()
            connection.execute("INSERT INTO kept VALUES (2)")
            postgres.kill()
            with pytest.raises(OperationalError):
                connection.execute("SELECT 1")
        postgres.start()

        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]


@pytest.mark.slow
def test_a_restarted_postgres_answers_at_the_same_address(postgres: postgres_server.Server) -> None:
    before = postgres.child.pid

    postgres.restart()

    assert postgres.child.pid != before
    with psycopg.connect(postgres.dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.slow
def test_a_postgres_lets_nobody_in_without_the_password(postgres: postgres_server.Server) -> None:
    with pytest.raises(OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.dsn.replace(postgres.password, "guessed"))


@pytest.mark.slow
def test_a_postgres_does_not_run_as_root(postgres: postgres_server.Server) -> None:
    assert (postgres.child.directory / "cluster").stat().st_uid != 0


@pytest.mark.slow
def test_databases_of_tests_do_not_see_each_other_and_go_with_their_tests(
    postgres: postgres_server.Server,
) -> None:
    with postgres.database() as first, postgres.database() as second:
        with psycopg.connect(first, autocommit=True) as connection:
            connection.execute("CREATE TABLE mine (n int)")
        with psycopg.connect(second) as connection, pytest.raises(UndefinedTable):
            connection.execute("SELECT n FROM mine")

    with pytest.raises(OperationalError, match="does not exist"):
        psycopg.connect(first)


def test_a_machine_without_postgres_says_where_it_was_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(postgres_server, "DEBIAN", Path("/nowhere"))

    with (
        pytest.raises(ServerMissing, match="no `initdb` on the PATH or in /nowhere"),
        postgres_server.running(),
    ):
        pass


@pytest.mark.slow
async def test_a_stream_of_nats_keeps_through_a_kill_what_it_acknowledged(
    jetstream: nats_server.Server,
) -> None:
    async with connected(jetstream) as client:
        stream = client.jetstream()
        await stream.add_stream(name="kept", subjects=["kept.*"])
        await stream.publish("kept.one", b"first")
        jetstream.kill()
    jetstream.start()

    async with connected(jetstream) as client:
        subscription = await client.jetstream().pull_subscribe("kept.*", durable="reader")
        (message,) = await subscription.fetch(1, timeout=5)
        await message.ack_sync()

    assert message.data == b"first"


@pytest.mark.slow
async def test_a_nats_lets_nobody_in_without_the_password(jetstream: nats_server.Server) -> None:
    client = Client()
    with pytest.raises(NatsError, match="Authorization"):
        await client.connect(jetstream.url.replace(jetstream.password, "guessed"), allow_reconnect=False)
    await client.close()  # it leaves a refused connection open


def test_a_child_that_ends_at_once_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "child"
    folder.mkdir()
    child = Child(
        name="a server",
        command=["sh", "-c", "echo port taken; exit 1"],
        directory=folder,
        ready=lambda: False,
    )
    child.start()

    with pytest.raises(ChildFailed, match=r"a server was not ready.*port taken"):
        child.wait_until_ready()

    assert not folder.exists()


@pytest.mark.slow
def test_a_child_ends_and_its_folder_goes_when_the_session_that_started_it_is_killed(tmp_path: Path) -> None:
    folder, lifeline = tmp_path / "child", tmp_path / "lifeline"
    folder.mkdir()
    os.mkfifo(lifeline)
    session = f"""
import pathlib, sys
from tests.children import Child
command = ["sh", "-c", "exec sleep 60 > {lifeline}"]
child = Child(name="a server", command=command, directory=pathlib.Path({str(folder)!r}), ready=lambda: True)
child.start()
print("started", flush=True)
sys.stdin.read()
"""
    run = [sys.executable, "-c", session]
    pipe = subprocess.PIPE
    with subprocess.Popen(run, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"started\n"
        with lifeline.open() as held:  # once the child holds its other end
            started.kill()
            assert held.read() == ""  # once the child is gone
        started.communicate(timeout=20)  # once its guard is, which holds the session's errors open

    assert not folder.exists()
