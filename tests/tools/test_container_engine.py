"""Containers at an engine: one for one run of a block, told of once whatever restarts, in each of its six ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from noetl_stream.core.tokens import is_genuine, issue
from noetl_stream.errors import InvalidRequest, ToolError
from noetl_stream.ports.tools import Done
from noetl_stream.settings import Settings
from noetl_stream.tools.container.engine import Engine
from noetl_stream.tools.container.engine_api import EngineAddress, EngineApi, unreachable
from noetl_stream.tools.container.engine_log import LOG_BYTES, Tail
from noetl_stream.tools.container.tool import Container
from noetl_stream.wiring_containers import open_runtime
from tests.tools.conftest import call, until
from tests.tools.container_runs import BLOCK, CONFIG, LATER, TOKEN, Facts, resume, start, watching
from tests.tools.engine_api import EngineServer, framed
from tests.tools.kubernetes_api import UNPULLABLE


@pytest.fixture
async def runtime(engine: EngineServer) -> AsyncIterator[Engine]:
    runtime = new_engine(engine.socket)
    yield runtime
    await runtime.close()


def new_engine(socket: Path, **options: Any) -> Engine:
    return Engine(EngineApi(EngineAddress(socket=socket, **options)))


async def untold_are_none(engine: EngineServer) -> None:
    await until(lambda: not engine.volumes)


@pytest.mark.parametrize("conflict", [409, 500], ids=["Docker", "Podman"])
async def test_a_run_that_is_repeated_joins_its_container(
    engine: EngineServer, runtime: Engine, conflict: int
) -> None:
    engine.conflict = conflict
    await asyncio.gather(start(runtime), start(runtime))
    await start(runtime)

    assert engine.started == [engine.name()] == list(engine.volumes)
    asked = engine.containers[engine.name()]["Config"]
    assert (asked["Entrypoint"], asked["Env"]) == (["/bin/sh", "-c", "crunch"], ["KEY=s3cret"])


async def test_a_run_that_is_repeated_does_not_start_again_what_has_ended(
    engine: EngineServer, runtime: Engine
) -> None:
    await start(runtime)
    engine.end()
    await start(runtime)

    assert engine.status("exited") == [engine.name()]


async def test_a_container_whose_worker_died_before_it_started_it_is_started(
    engine: EngineServer, runtime: Engine
) -> None:
    engine.refusals["POST", "create"] = 500, {"message": "the engine stops"}
    with pytest.raises(ToolError, match="the engine stops; try it again"):
        await start(runtime)
    engine.refusals.clear()
    await start(runtime)
    with engine.changed:
        engine.containers[engine.name()]["State"]["Status"] = "created"
    await start(runtime)

    assert engine.status("running") == [engine.name()]


@pytest.mark.parametrize(
    ("code", "state", "end", "reason"),
    [
        (0, {}, "succeeded", None),
        (0, {"OOMKilled": True}, "succeeded", "OOMKilled"),
        (3, {}, "failed", None),
        (137, {"OOMKilled": True}, "failed", "OOMKilled"),
        (137, {}, "evicted", "Killed"),
        (143, {}, "evicted", "Killed"),
        (255, {"Status": "dead"}, "evicted", "Killed"),
        (128, {"Error": "the disk is full"}, "failed", "Error"),
    ],
)
async def test_an_end_is_told_with_the_blocks_own_token(
    engine: EngineServer, runtime: Engine, code: int, state: dict[str, Any], end: str, reason: str | None
) -> None:
    await start(runtime)
    facts = Facts()
    async with watching(runtime, facts):
        engine.end(code, **state)
        told = await facts.told.get()
        await untold_are_none(engine)

    answer = told.answer
    assert (answer["status"], answer["exit_code"], answer["reason"]) == (end, code, reason)
    assert is_genuine("seed", 7, told)


async def test_what_runs_longer_than_its_timeout_is_killed_and_told_so(
    engine: EngineServer, runtime: Engine
) -> None:
    await start(runtime, timeout=2.0)
    facts = Facts()
    async with watching(runtime, facts):
        told = await facts.told.get()

    assert (told.answer["status"], told.answer["exit_code"]) == ("timed_out", 137)


@pytest.mark.parametrize(
    ("deleted", "end"), [(False, "succeeded"), (True, "lost")], ids=["it ended", "it vanished"]
)
async def test_what_became_of_it_while_nobody_watched_is_told_at_the_next_start_and_once(
    engine: EngineServer, runtime: Engine, deleted: bool, end: str
) -> None:
    await start(runtime)
    engine.end()
    if deleted:
        engine.delete(engine.name())
    facts = Facts()
    for _ in range(2):
        async with watching(runtime, facts):
            await untold_are_none(engine)

    assert facts.told.qsize() == 1
    assert (await facts.told.get()).answer["status"] == end


async def test_a_container_deleted_by_somebody_is_lost(engine: EngineServer, runtime: Engine) -> None:
    await start(runtime)
    facts = Facts()
    async with watching(runtime, facts):
        engine.delete(engine.name())
        told = await facts.told.get()

    assert told.answer["status"] == "lost"


@pytest.mark.parametrize("early", [True, False])
async def test_a_container_of_a_cancelled_execution_is_deleted(
    engine: EngineServer, runtime: Engine, early: bool
) -> None:
    facts = Facts()
    async with watching(runtime, facts) as watcher:
        if early:
            watcher.stop_execution(7)
        await start(runtime)
        watcher.stop_execution(7)
        await until(lambda: not engine.containers and not engine.volumes)

    assert (await facts.told.get()).answer["status"] == "cancelled"


async def test_a_container_of_another_installation_is_its_own_affair(
    engine: EngineServer, runtime: Engine
) -> None:
    other = new_engine(engine.socket, instance="other")
    await start(other)
    await other.close()
    engine.end()
    await start(runtime, callback=issue("seed", 7, BLOCK, 1, 0).text)
    (mine,) = engine.status("running")
    facts = Facts()
    async with watching(runtime, facts):
        engine.end(0, mine)
        told = await facts.told.get()
        await until(lambda: mine not in engine.volumes)

    assert (told.attempt, facts.told.qsize(), len(engine.volumes)) == (1, 0, 1)


async def test_what_ended_a_day_ago_is_deleted_unless_its_end_is_untold(
    engine: EngineServer, runtime: Engine
) -> None:
    await start(runtime)
    await start(runtime, callback=issue("seed", 8, BLOCK, 0, 0).text)
    long_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    ended, running = engine.containers
    with engine.changed:
        for each in engine.containers.values():
            each["Created"] = long_ago
    engine.end(0, ended, FinishedAt=long_ago)
    facts = Facts()
    async with watching(runtime, facts):
        await facts.told.get()
        await until(lambda: ended not in engine.volumes)
    async with watching(runtime, facts):
        await until(lambda: ended not in engine.containers)

    assert list(engine.containers) == [running]


async def test_its_result_has_the_last_lines_of_its_output(engine: EngineServer, runtime: Engine) -> None:
    await start(runtime)
    engine.end()

    outcome = await resume(runtime, {"status": "succeeded", "exit_code": 0})

    assert isinstance(outcome, Done)
    assert outcome.value["job"] == engine.name()
    assert (outcome.value["namespace"], outcome.value["logs"]) == (None, "one\ntwo\n")


async def test_where_output_goes_elsewhere_its_result_has_none(engine: EngineServer, runtime: Engine) -> None:
    engine.refusals["GET", "logs"] = 501, {"message": "configured logging driver does not support reading"}
    await start(runtime)
    engine.end()

    outcome = await resume(runtime, {"status": "succeeded"})

    assert isinstance(outcome, Done)
    assert outcome.value["logs"] is None


async def test_an_answer_reads_no_output_but_the_blocks_own(engine: EngineServer, runtime: Engine) -> None:
    await start(runtime, callback=issue("seed", 8, BLOCK, 0, 0).text)
    engine.end()

    outcome = await resume(runtime, {"status": "succeeded", "job": engine.name()})

    assert isinstance(outcome, Done)
    assert outcome.value["logs"] is None


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_output_is_put_together_however_it_is_cut(size: int) -> None:
    wrote = b"".join(b"line %d\n" % n for n in range(9000))
    sent, tail = framed(wrote), Tail()
    for place in range(0, len(sent), size):
        tail.feed(sent[place : place + size])

    assert tail.text == wrote[-LOG_BYTES:].decode()


def test_what_an_engine_says_amid_the_output_is_none_of_it() -> None:
    tail = Tail()
    tail.feed(framed(b"one\n") + b'{"message": "no such container"}')

    assert tail.text == "one\n"


async def test_a_container_that_nobody_ended_in_time_is_deleted(
    engine: EngineServer, runtime: Engine
) -> None:
    await start(runtime)
    tool = Container(runtime)
    late = call(tool, CONFIG, callback=LATER, answer={"status": "TIMED_OUT"}, answered=True, timeout=9.0)

    with pytest.raises(ToolError, match=r"within 9 s; it is deleted") as raised:
        await tool.run(late)

    assert (raised.value.kind, raised.value.retryable) == ("timeout", True)
    assert (engine.containers, engine.volumes) == ({}, {})


@pytest.mark.parametrize(
    ("image", "pulled"),
    [
        ("python", "python:latest"),
        ("reg:5000/python", "reg:5000/python:latest"),
        ("python:3.13", "python:3.13"),
        ("python@sha256:ab", "python@sha256:ab"),
    ],
)
async def test_an_image_that_is_not_there_is_pulled_by_one_tag(
    engine: EngineServer, runtime: Engine, image: str, pulled: str
) -> None:
    tool = Container(runtime)
    await tool.run(call(tool, {"image": image}, callback=TOKEN))

    assert (engine.pulled, engine.status("running")) == ([pulled], [engine.name()])


async def test_an_image_that_cannot_be_pulled_is_an_end_as_in_a_cluster(
    engine: EngineServer, runtime: Engine
) -> None:
    tool = Container(runtime)

    with pytest.raises(ToolError, match=r"could not start \(ImagePull: pull access denied") as raised:
        await tool.run(call(tool, {"image": UNPULLABLE}, callback=TOKEN))

    error = raised.value
    assert (error.kind, error.code, error.retryable) == ("client_error", "failed", True)
    assert (engine.containers, engine.volumes) == ({}, {})


@pytest.mark.parametrize(
    ("status", "kind", "retryable"), [(400, "client_error", False), (500, "server_error", True)]
)
async def test_a_container_that_cannot_start_is_deleted(
    engine: EngineServer, runtime: Engine, status: int, kind: str, retryable: bool
) -> None:
    engine.refusals["POST", "start"] = status, {"message": 'exec: "crunch": not found'}

    with pytest.raises(ToolError, match='exec: "crunch": not found') as raised:
        await start(runtime)

    assert (raised.value.kind, raised.value.retryable) == (kind, retryable)
    assert (engine.containers, engine.volumes) == ({}, {})


@pytest.mark.parametrize(
    ("resources", "asked"),
    [
        ({"limits": {"memory": "1Gi", "cpu": "500m"}}, {"Memory": 1 << 30, "NanoCpus": 500_000_000}),
        ({"requests": {"memory": "2M", "cpu": 1.5}}, {"MemoryReservation": 2_000_000, "CpuShares": 1536}),
    ],
)
async def test_its_resources_are_what_a_node_would_make_of_them(
    engine: EngineServer, runtime: Engine, resources: dict[str, Any], asked: dict[str, int]
) -> None:
    tool = Container(runtime)
    await tool.run(call(tool, {"image": "busybox", "resources": resources}, callback=TOKEN))

    assert engine.containers[engine.name()]["Config"]["HostConfig"] == asked


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({"namespace": "default"}, "no `namespace`; leave it out"),
        ({"service_account": "crunch"}, "no `service_account`; leave it out"),
        ({"backoff_limit": 2}, "let a rule of the task `retry`"),
        ({"restart_policy": "OnFailure"}, "let a rule of the task `retry`"),
        ({"resources": {"limits": {"nvidia.com/gpu": 1}}}, "name cpu and memory only"),
        ({"resources": {"limits": {"memory": "much"}}}, "no memory of 'much'; write it as"),
    ],
)
async def test_what_an_engine_cannot_do_is_refused(
    engine: EngineServer, runtime: Engine, key: dict[str, Any], said: str
) -> None:
    tool = Container(runtime)

    with pytest.raises(ToolError, match=said) as raised:
        await tool.run(call(tool, {"image": "busybox", **key}, callback=TOKEN))

    assert (raised.value.kind, raised.value.retryable, engine.containers) == ("client_error", False, {})


async def test_a_socket_that_is_not_there_or_has_nobody_behind_it_can_be_tried_again(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(tmp_path / "s"))
    for name, said in (("none", "is not there; start the engine"), ("s", "has nobody behind it")):
        runtime = new_engine(tmp_path / name)
        with pytest.raises(ToolError, match=said) as raised:
            await start(runtime)
        await runtime.close()
        assert (raised.value.kind, raised.value.retryable) == ("connection", True)


def test_a_socket_of_others_is_a_matter_of_rights() -> None:
    """Root may connect to any, so what the system would say is said here."""
    error = unreachable(Path("/run/s"), PermissionError(13, "Permission denied"))

    assert (error.kind, error.retryable) == ("auth", False)
    assert "/run/s may not be used by this process" in str(error)


@pytest.mark.parametrize("told", [(200, b"<html>"), (200, [])], ids=["no JSON", "no mapping"])
async def test_what_answers_in_place_of_an_engine_is_told_apart(
    engine: EngineServer, runtime: Engine, told: tuple[int, Any]
) -> None:
    engine.refusals["GET", "json"] = told

    with pytest.raises(ToolError, match="correct NOETL_STREAM_CONTAINER_ENGINE") as raised:
        await start(runtime)

    assert (raised.value.kind, raised.value.retryable) == ("connection", True)


async def test_a_watcher_goes_on_when_its_engine_answers_again(
    engine: EngineServer, runtime: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    await start(runtime)
    engine.end()
    engine.refusals["GET", "volumes"] = 503, b"no gateway"
    facts = Facts()
    async with watching(runtime, facts):
        await until(lambda: len(caplog.messages) == 1)
        engine.refusals.clear()
        told = await facts.told.get()

    assert told.answer["status"] == "succeeded"
    assert "containers are not watched for now" in caplog.messages[0]


async def test_containers_run_in_one_place(tmp_path: Path) -> None:
    both = Settings(data=tmp_path, kubernetes="https://k:6443", container_engine="unix:///run/s")

    with pytest.raises(InvalidRequest, match="run in one place; unset"):
        async with open_runtime(both):
            raise AssertionError
