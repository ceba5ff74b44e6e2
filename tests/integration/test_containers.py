"""Containers through a real worker: no slot is held, each end arrives once whatever is killed, and nobody's container runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from noetl_stream.core.events import CallbackReceived
from noetl_stream.core.tokens import read
from noetl_stream.replay.telling import Told
from noetl_stream.settings import Settings
from tests.integration.client import LIMIT, Client, connected, installed
from tests.integration.conftest import settings_at
from tests.integration.processes import kill, roles
from tests.tools.container_grounds import Ground, OnEngine, OnKubernetes
from tests.tools.kubernetes_api import UNPULLABLE

pytestmark = pytest.mark.slow

CRUNCH = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: crunch}
workflow:
- {step: crunch, tool: {kind: container, image: busybox, command: crunch, timeout: 600, env: {ANSWER_WITH: "{{ callback_token }}"}}}
"""
AGAIN = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: again}
keychain:
- {name: word, kind: static, data: {word: s3cret-word}}
workflow:
- step: crunch
  tool:
    kind: container
    image: busybox
    env: {WORD: "{{ keychain.word.word }}"}
    spec:
      policy:
        rules: [{when: "{{ output.error.code == 'evicted' }}", then: {do: retry, attempts: 2}}]
"""
MANY = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: many}
workflow:
- step: crunch
  loop: {in: 3, spec: {mode: parallel, policy: {on_error: continue}}}
  tool: {kind: container, image: busybox}
"""
QUICK = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: quick}
workflow:
- {step: work, tool: {kind: noop, result: done}}
"""


@pytest.fixture(params=["kubernetes", "engine"])
def ground(request: pytest.FixtureRequest) -> Ground:
    if request.param == "engine":
        return OnEngine(request.getfixturevalue("engine"))
    return OnKubernetes(request.getfixturevalue("kubernetes"))


@pytest.fixture
def settings(embedded_bootstrap: str, tmp_path: Path, ground: Ground) -> Settings:
    """One slot, so that a block which held it would hold up everything."""
    return settings_at(embedded_bootstrap, tmp_path).model_copy(update={"slots": 1, **ground.settings})


@asynccontextmanager
async def crunching(ground: Ground, settings: Settings) -> AsyncIterator[tuple[Client, int]]:
    """An execution whose container runs."""
    async with installed(settings) as client:
        execution = await client.ask(await client.register(CRUNCH))
        await asyncio.to_thread(ground.wait_for, ground.running)
        yield client, execution


async def none_left(ground: Ground) -> None:
    await asyncio.to_thread(ground.wait_for, lambda: not ground.names())


def is_parked(told: Told) -> bool:
    return any(type(fact).__name__ == "BlockParked" for fact in told.folded.counted)


def heard(told: list[Told]) -> int:
    """How many answers counted."""
    return sum(isinstance(fact, CallbackReceived) for each in told for fact in each.folded.counted)


async def test_no_slot_is_held_while_the_job_runs(ground: Ground, settings: Settings) -> None:
    async with crunching(ground, settings) as (client, execution):
        quick = await client.run(QUICK)
        ground.happens("succeeded")
        story = await client.story(execution)
        results = await client.results(story)

    assert quick.status == "COMPLETED"
    assert (story.status, results["crunch"]["status"]) == ("COMPLETED", "succeeded")
    assert results["crunch"]["logs"] == "one\ntwo\n"


ENDS = {
    "failed": "client_error",
    "timed_out": "timeout",
    "evicted": "server_error",
    "lost": "server_error",
}


@pytest.mark.parametrize("end", ENDS)
async def test_an_end_that_is_no_success_fails_the_step_and_frees_its_slot(
    ground: Ground, settings: Settings, end: str
) -> None:
    async with crunching(ground, settings) as (client, execution):
        ground.happens(end)
        story = await client.story(execution)
        quick = await client.run(QUICK)

    assert story.end is not None
    assert story.end.error is not None
    assert (story.status, story.end.error.code, story.end.error.kind) == ("FAILED", end, ENDS[end])
    assert quick.status == "COMPLETED"


async def test_an_image_that_cannot_be_pulled_fails_the_step_and_frees_its_slot(
    ground: Ground, settings: Settings
) -> None:
    async with installed(settings) as client:
        story = await client.run(CRUNCH.replace("busybox", UNPULLABLE))
        quick = await client.run(QUICK)
        await none_left(ground)

    assert story.end is not None
    assert story.end.error is not None
    assert (story.status, story.end.error.code, story.end.error.retryable) == ("FAILED", "failed", True)
    assert quick.status == "COMPLETED"


async def test_the_program_itself_may_tell_of_its_end(ground: Ground, settings: Settings) -> None:
    async with crunching(ground, settings) as (client, execution):
        await client.told(execution, until=is_parked)
        (name,) = ground.names()
        token = read(ground.environment(name)["ANSWER_WITH"])
        await client.answer(token, {"status": "succeeded", "result": {"rows": 7}})
        story = await client.story(execution)
        results = await client.results(story)

    assert (story.status, results["crunch"]["result"]) == ("COMPLETED", {"rows": 7})


async def test_another_try_is_another_job(ground: Ground, settings: Settings) -> None:
    async with installed(settings) as client:
        execution = await client.ask(await client.register(AGAIN))
        (first,) = await asyncio.to_thread(ground.wait_for, ground.running)
        ground.writes(b"of the first")
        ground.happens("evicted", first)
        (second,) = await asyncio.to_thread(ground.wait_for, ground.running)
        ground.writes(b"of the second, which knows the word s3cret-word")
        ground.happens("succeeded", second)
        story = await client.story(execution)
        results = await client.results(story)
        log = repr(await client.log_of(execution))

    assert first != second
    assert (story.status, results["crunch"]["job"]) == ("COMPLETED", second)
    assert results["crunch"]["logs"].startswith("of the second, which knows the word")
    assert "s3cret-word" not in log + repr(results)


async def test_each_iteration_has_a_job_of_its_own(ground: Ground, settings: Settings) -> None:
    async with installed(settings) as client:
        execution = await client.ask(await client.register(MANY))
        await asyncio.to_thread(ground.wait_for, lambda: len(ground.running()) == 3)
        for end, name in zip(("succeeded", "failed", "failed"), ground.running(), strict=True):
            ground.happens(end, name)
        story = await client.story(execution)
        results = await client.results(story)

    assert story.status == "COMPLETED"
    assert results["crunch"]["stats"] == {"total": 3, "success": 1, "failed": 2}


async def test_cancelling_the_execution_cancels_the_job(ground: Ground, settings: Settings) -> None:
    async with crunching(ground, settings) as (client, execution):
        await client.told(execution, until=is_parked)
        await client.cancel(execution)
        story = await client.story(execution)
        await none_left(ground)

    assert story.status == "CANCELLED"


async def test_a_job_is_cancelled_though_no_worker_was_there_to_hear_of_it(
    ground: Ground, settings: Settings
) -> None:
    async with crunching(ground, settings) as (client, execution):
        await client.told(execution, until=is_parked)
    async with installed(settings, "orchestrator") as client:
        await client.cancel(execution)
        await client.story(execution)
    assert len(ground.names()) == 1

    async with installed(settings):
        await none_left(ground)


@pytest.mark.parametrize("parked", [False, True], ids=["before it parks", "while it waits"])
async def test_a_worker_that_is_killed_loses_nothing(
    ground: Ground, settings: Settings, command: Path, parked: bool
) -> None:
    async with connected(settings) as client, roles(command, settings) as started:
        await asyncio.gather(*(started.start(role) for role in ("intake", "orchestrator")))
        worker = await started.start("worker")
        if not parked:
            ground.answering.clear()
        execution = await client.ask(await client.register(CRUNCH))
        await asyncio.to_thread(ground.wait_for, ground.names)
        if parked:
            await client.told(execution, until=is_parked)
        await kill(worker)
        ground.answering.set()
        await started.start("worker")
        await asyncio.to_thread(ground.wait_for, ground.running)
        ground.happens("succeeded")
        told = await client.told(execution, limit=2 * LIMIT)
        story = await client.story(execution)

    assert (story.status, heard(told), len(ground.names())) == ("COMPLETED", 1, 1)


@pytest.mark.parametrize(
    ("ground", "broken", "kind"),
    [
        ("kubernetes", {"kubernetes": "http://127.0.0.1:9"}, "connection"),
        ("kubernetes", {}, "auth"),
        ("kubernetes", {"kubernetes": ""}, "not_installed"),
        ("engine", {"container_engine": "unix:///nowhere/s"}, "connection"),
        ("engine", {"container_engine": ""}, "not_installed"),
    ],
    ids=[
        "nobody answers",
        "a wrong token",
        "no cluster is named",
        "no socket is there",
        "no engine is named",
    ],
    indirect=["ground"],
)
async def test_where_it_cannot_run_a_task_fails_and_frees_its_slot(
    ground: Ground, settings: Settings, tmp_path: Path, broken: dict[str, Any], kind: str
) -> None:
    file = tmp_path / "token"
    file.write_text("of yesterday")
    ground.wants_login()
    async with installed(settings.model_copy(update={"kubernetes_token_file": file, **broken})) as client:
        story = await client.run(CRUNCH)
        quick = await client.run(QUICK)

    assert story.end is not None
    assert story.end.error is not None
    assert (story.status, story.end.error.kind) == ("FAILED", kind)
    assert quick.status == "COMPLETED"
    assert ground.names() == []
