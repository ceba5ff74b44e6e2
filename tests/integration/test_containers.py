"""Containers through a real worker: no slot is held, each end arrives once whatever is killed, and nobody's Job runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
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
from tests.tools.kubernetes_api import NAMESPACE, Api, ended, unpullable
from tests.tools.kubernetes_api import TOKEN as LOGIN

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


@pytest.fixture
def settings(embedded_bootstrap: str, tmp_path: Path, kubernetes: Api) -> Settings:
    """One slot, so that a block which held it would hold up everything."""
    chosen = {"slots": 1, "kubernetes": kubernetes.url, "kubernetes_namespaces": (NAMESPACE,)}
    return settings_at(embedded_bootstrap, tmp_path).model_copy(update=chosen)


@asynccontextmanager
async def crunching(kubernetes: Api, settings: Settings) -> AsyncIterator[tuple[Client, int]]:
    """An execution whose Job is there."""
    async with installed(settings) as client:
        execution = await client.ask(await client.register(CRUNCH))
        await asyncio.to_thread(kubernetes.wait_for, kubernetes.jobs)
        yield client, execution


async def none_left(kubernetes: Api) -> None:
    await asyncio.to_thread(kubernetes.wait_for, lambda: not kubernetes.jobs())


def is_parked(told: Told) -> bool:
    return any(type(fact).__name__ == "BlockParked" for fact in told.folded.counted)


def heard(told: list[Told]) -> int:
    """How many answers counted."""
    return sum(isinstance(fact, CallbackReceived) for each in told for fact in each.folded.counted)


async def test_no_slot_is_held_while_the_job_runs(kubernetes: Api, settings: Settings) -> None:
    async with crunching(kubernetes, settings) as (client, execution):
        quick = await client.run(QUICK)
        kubernetes.end("Complete", **ended(0))
        story = await client.story(execution)
        results = await client.results(story)

    assert quick.status == "COMPLETED"
    assert (story.status, results["crunch"]["status"]) == ("COMPLETED", "succeeded")
    assert results["crunch"]["logs"] == "one\ntwo\n"


ENDS: dict[str, tuple[Callable[[Api], None], str]] = {
    "failed": (
        lambda kubernetes: kubernetes.end("Failed", "BackoffLimitExceeded", **ended(3)),
        "client_error",
    ),
    "timed_out": (lambda kubernetes: kubernetes.end("Failed", "DeadlineExceeded"), "timeout"),
    "evicted": (
        lambda kubernetes: kubernetes.end("Failed", "BackoffLimitExceeded", reason="Evicted"),
        "server_error",
    ),
    "lost": (lambda kubernetes: kubernetes.delete(kubernetes.job()["metadata"]["name"]), "server_error"),
    "unpulled": (
        lambda kubernetes: kubernetes.pod(kubernetes.job(), **unpullable("busybox")),
        "client_error",
    ),
}


@pytest.mark.parametrize("end", ENDS)
async def test_an_end_that_is_no_success_fails_the_step_and_frees_its_slot(
    kubernetes: Api, settings: Settings, end: str
) -> None:
    happens, kind = ENDS[end]
    async with crunching(kubernetes, settings) as (client, execution):
        happens(kubernetes)
        story = await client.story(execution)
        quick = await client.run(QUICK)

    assert story.end is not None
    assert story.end.error is not None
    assert story.end.error.code == {"unpulled": "failed"}.get(end, end)
    assert (story.status, story.end.error.kind) == ("FAILED", kind)
    assert quick.status == "COMPLETED"


async def test_the_program_itself_may_tell_of_its_end(kubernetes: Api, settings: Settings) -> None:
    async with crunching(kubernetes, settings) as (client, execution):
        await client.told(execution, until=is_parked)
        token = read(
            kubernetes.objects["secrets", kubernetes.job()["metadata"]["name"]]["stringData"]["ANSWER_WITH"]
        )
        await client.answer(token, {"status": "succeeded", "result": {"rows": 7}})
        story = await client.story(execution)
        results = await client.results(story)

    assert (story.status, results["crunch"]["result"]) == ("COMPLETED", {"rows": 7})


async def test_another_try_is_another_job(kubernetes: Api, settings: Settings) -> None:
    async with installed(settings) as client:
        execution = await client.ask(await client.register(AGAIN))
        (first,) = await asyncio.to_thread(kubernetes.wait_for, kubernetes.running)
        kubernetes.output = b"of the first"
        kubernetes.end("Failed", "BackoffLimitExceeded", first, reason="Evicted")
        (second,) = await asyncio.to_thread(kubernetes.wait_for, kubernetes.running)
        kubernetes.output = b"of the second, which knows the word s3cret-word"
        kubernetes.end("Complete", "", second, **ended(0))
        story = await client.story(execution)
        results = await client.results(story)
        log = repr(await client.log_of(execution))

    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert (story.status, results["crunch"]["job"]) == ("COMPLETED", second["metadata"]["name"])
    assert results["crunch"]["logs"].startswith("of the second, which knows the word")
    assert "s3cret-word" not in log + repr(results)


async def test_each_iteration_has_a_job_of_its_own(kubernetes: Api, settings: Settings) -> None:
    async with installed(settings) as client:
        execution = await client.ask(await client.register(MANY))
        await asyncio.to_thread(kubernetes.wait_for, lambda: len(kubernetes.running()) == 3)
        for code, job in enumerate(kubernetes.running()):
            kubernetes.end("Complete" if code == 0 else "Failed", "BackoffLimitExceeded", job, **ended(code))
        story = await client.story(execution)
        results = await client.results(story)

    assert story.status == "COMPLETED"
    assert results["crunch"]["stats"] == {"total": 3, "success": 1, "failed": 2}


async def test_cancelling_the_execution_cancels_the_job(kubernetes: Api, settings: Settings) -> None:
    async with crunching(kubernetes, settings) as (client, execution):
        await client.told(execution, until=is_parked)
        await client.cancel(execution)
        story = await client.story(execution)
        await none_left(kubernetes)

    assert story.status == "CANCELLED"


async def test_a_job_is_cancelled_though_no_worker_was_there_to_hear_of_it(
    kubernetes: Api, settings: Settings
) -> None:
    async with crunching(kubernetes, settings) as (client, execution):
        await client.told(execution, until=is_parked)
    async with installed(settings, "orchestrator") as client:
        await client.cancel(execution)
        await client.story(execution)
    assert len(kubernetes.jobs()) == 1

    async with installed(settings):
        await none_left(kubernetes)


@pytest.mark.parametrize("parked", [False, True], ids=["before it parks", "while it waits"])
async def test_a_worker_that_is_killed_loses_nothing(
    kubernetes: Api, settings: Settings, command: Path, parked: bool
) -> None:
    async with connected(settings) as client, roles(command, settings) as started:
        await asyncio.gather(*(started.start(role) for role in ("intake", "orchestrator")))
        worker = await started.start("worker")
        if not parked:
            kubernetes.answering.clear()
        execution = await client.ask(await client.register(CRUNCH))
        await asyncio.to_thread(kubernetes.wait_for, kubernetes.jobs)
        if parked:
            await client.told(execution, until=is_parked)
        await kill(worker)
        kubernetes.answering.set()
        kubernetes.end("Complete", **ended(0))
        await started.start("worker")
        told = await client.told(execution, limit=2 * LIMIT)
        story = await client.story(execution)

    assert (story.status, heard(told), len(kubernetes.jobs())) == ("COMPLETED", 1, 1)


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ({"kubernetes": "http://127.0.0.1:9"}, "connection"),
        ({}, "auth"),
        ({"kubernetes": ""}, "not_installed"),
    ],
    ids=["nobody answers", "a wrong token", "none is named"],
)
async def test_without_its_api_a_task_fails_and_frees_its_slot(
    kubernetes: Api, settings: Settings, tmp_path: Path, broken: dict[str, Any], kind: str
) -> None:
    file = tmp_path / "token"
    file.write_text("of yesterday")
    kubernetes.token = LOGIN
    async with installed(settings.model_copy(update={"kubernetes_token_file": file, **broken})) as client:
        story = await client.run(CRUNCH)
        quick = await client.run(QUICK)

    assert story.end is not None
    assert story.end.error is not None
    assert (story.status, story.end.error.kind) == ("FAILED", kind)
    assert quick.status == "COMPLETED"
    assert kubernetes.objects == {}
