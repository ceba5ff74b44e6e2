"""Containers: one Job for one run of a block, told of once whatever restarts, in each of its six ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from noetl_stream.core.tokens import is_genuine, issue
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Done
from noetl_stream.tools.container.cluster import Address, Cluster
from noetl_stream.tools.container.job import TOLD
from noetl_stream.tools.container.kubernetes import Kubernetes
from noetl_stream.tools.container.runtime import CALLBACK, Runtime
from noetl_stream.tools.container.tool import Container
from noetl_stream.tools.container.watching import Watcher
from tests.tools.conftest import call, until
from tests.tools.container_runs import BLOCK, CONFIG, LATER, TOKEN, Facts, resume, start, watching
from tests.tools.http_server import Site
from tests.tools.kubernetes_api import NAMESPACE, Api, ended, unpullable
from tests.tools.kubernetes_api import TOKEN as LOGIN


@pytest.fixture
async def cluster(kubernetes: Api) -> AsyncIterator[Kubernetes]:
    cluster = Kubernetes(Cluster(Address(server=kubernetes.url, namespaces=(NAMESPACE,))))
    yield cluster
    await cluster.close()


async def test_a_run_that_is_repeated_joins_its_job(kubernetes: Api, cluster: Runtime) -> None:
    await start(cluster)
    await start(cluster)

    job = kubernetes.job()
    assert sorted(kind for kind, _ in kubernetes.objects) == ["jobs", "secrets"]
    assert "s3cret" not in str(job)


async def test_its_timeout_is_the_jobs_deadline(kubernetes: Api, cluster: Runtime) -> None:
    wait = await start(cluster, timeout=90.0)

    assert kubernetes.job()["spec"]["activeDeadlineSeconds"] == 90
    assert wait.until is not None


@pytest.mark.parametrize(
    ("condition", "reason", "status", "end"),
    [
        ("Complete", "", ended(0), "succeeded"),
        ("Failed", "BackoffLimitExceeded", ended(3), "failed"),
        ("Failed", "DeadlineExceeded", {}, "timed_out"),
        ("Failed", "BackoffLimitExceeded", {"reason": "Evicted"}, "evicted"),
        ("Failed", "BackoffLimitExceeded", {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}, "evicted"),
    ],
)  # fmt: skip
async def test_an_end_is_told_with_the_blocks_own_token(
    kubernetes: Api, cluster: Runtime, condition: str, reason: str, status: dict[str, Any], end: str
) -> None:
    await start(cluster)
    facts = Facts()
    async with watching(cluster, facts):
        kubernetes.end(condition, reason, **status)
        told = await facts.told.get()

    assert told.answer["status"] == end
    assert is_genuine("seed", 7, told)


async def test_a_job_that_ended_while_nobody_watched_is_told_of_at_the_next_start_and_once(
    kubernetes: Api, cluster: Runtime
) -> None:
    await start(cluster)
    kubernetes.end("Complete", **ended(0))
    facts = Facts()
    for _ in range(2):
        async with watching(cluster, facts):
            await asyncio.to_thread(
                kubernetes.wait_for, lambda: TOLD in kubernetes.job()["metadata"]["labels"]
            )

    assert facts.told.qsize() == 1


async def test_a_job_deleted_by_somebody_while_nobody_watched_is_lost(
    kubernetes: Api, cluster: Runtime
) -> None:
    await start(cluster)
    kubernetes.delete(kubernetes.job()["metadata"]["name"])
    facts = Facts()
    async with watching(cluster, facts):
        told = await facts.told.get()
        await asyncio.to_thread(
            kubernetes.wait_for, lambda: not any(k == "jobs" for k, _ in kubernetes.objects)
        )

    assert told.answer["status"] == "lost"


@pytest.mark.parametrize("early", [True, False])
async def test_a_job_of_a_cancelled_execution_is_deleted(
    kubernetes: Api, cluster: Runtime, early: bool
) -> None:
    facts = Facts()
    async with watching(cluster, facts) as watcher:
        if early:
            watcher.stop_execution(7)
        await start(cluster)
        watcher.stop_execution(7)
        await asyncio.to_thread(
            kubernetes.wait_for, lambda: not any(k == "jobs" for k, _ in kubernetes.objects)
        )

    assert (await facts.told.get()).answer["status"] == "cancelled"


async def test_a_job_that_ended_before_the_hint_is_told_of_as_it_ended_and_kept(
    kubernetes: Api, cluster: Runtime
) -> None:
    await start(cluster)
    kubernetes.end("Complete", **ended(0))
    facts = Facts()
    watcher = Watcher(cluster, facts, again_after=0.01)
    watcher.stop_execution(7)
    async with watching(cluster, facts):
        told = await facts.told.get()

    assert told.answer["status"] == "succeeded"
    assert kubernetes.job()["status"]["conditions"][0]["type"] == "Complete"


async def test_a_hint_about_an_attempt_spares_the_next(kubernetes: Api, cluster: Runtime) -> None:
    await start(cluster, callback=issue("seed", 7, BLOCK, 1, 0).text)
    await start(cluster)
    facts = Facts()
    async with watching(cluster, facts) as watcher:
        watcher.stop_block(7, BLOCK, 0)
        told = await facts.told.get()
        await asyncio.to_thread(kubernetes.wait_for, lambda: len(kubernetes.jobs()) == 1)

    assert (told.attempt, told.answer["status"]) == (0, "cancelled")
    assert kubernetes.job()["metadata"]["annotations"] != {CALLBACK: TOKEN}


async def test_a_job_whose_image_cannot_be_had_has_failed_and_is_deleted(
    kubernetes: Api, cluster: Runtime
) -> None:
    await start(cluster)
    kubernetes.pod(kubernetes.job(), **unpullable("busybox"))
    facts = Facts()
    async with watching(cluster, facts):
        told = await facts.told.get()
        await asyncio.to_thread(kubernetes.wait_for, lambda: not kubernetes.jobs())

    with pytest.raises(ToolError, match="Back-off pulling") as raised:
        await resume(cluster, told.answer)
    error = raised.value
    assert (error.kind, error.code, error.retryable) == ("client_error", "failed", True)
    assert facts.told.empty()


async def test_a_job_of_another_installation_in_the_same_namespace_is_its_own_affair(
    kubernetes: Api, cluster: Runtime
) -> None:
    other = Kubernetes(Cluster(Address(server=kubernetes.url, namespaces=(NAMESPACE,), instance="other")))
    await start(other)
    await other.close()
    kubernetes.end("Complete", **ended(0))
    await start(cluster, callback=issue("seed", 7, BLOCK, 1, 0).text)
    (mine,) = kubernetes.running()
    facts = Facts()
    async with watching(cluster, facts):
        kubernetes.end("Complete", job=mine, **ended(0))
        told = await facts.told.get()

    assert (told.attempt, facts.told.qsize()) == (1, 0)


async def test_its_result_has_the_last_lines_of_its_output(kubernetes: Api, cluster: Runtime) -> None:
    await start(cluster)
    kubernetes.end("Complete", **ended(0))

    outcome = await resume(cluster, {"status": "succeeded", "exit_code": 0})

    assert isinstance(outcome, Done)
    assert outcome.value == {
        "status": "succeeded",
        "job": kubernetes.job()["metadata"]["name"],
        "namespace": NAMESPACE,
        "exit_code": 0,
        "reason": None,
        "message": None,
        "result": None,
        "logs": "one\ntwo\n",
    }


async def test_a_failure_has_its_output_too(kubernetes: Api, cluster: Runtime) -> None:
    await start(cluster)
    kubernetes.end("Failed", "BackoffLimitExceeded", **ended(3))

    with pytest.raises(ToolError, match="exit code 3") as raised:
        await resume(cluster, {"status": "failed", "exit_code": 3})

    assert (raised.value.kind, raised.value.code) == ("client_error", "failed")
    assert raised.value.value["logs"] == "one\ntwo\n"  # type: ignore[index]


@pytest.mark.parametrize(
    ("end", "kind", "retryable", "said"),
    [
        ("failed", "client_error", False, "see its `logs`"),
        ("timed_out", "timeout", True, "raise it"),
        ("cancelled", "cancelled", False, "nobody wants its result"),
        ("evicted", "server_error", True, "lost its node"),
        ("lost", "server_error", True, "was deleted by somebody"),
    ],
)
async def test_an_end_that_is_no_success_is_an_error_of_its_own(
    cluster: Runtime, end: str, kind: str, retryable: bool, said: str
) -> None:
    with pytest.raises(ToolError, match=said) as raised:
        await resume(cluster, {"status": end})

    assert (raised.value.kind, raised.value.code, raised.value.retryable) == (kind, end, retryable)


async def test_an_answer_reads_no_output_but_the_blocks_own(kubernetes: Api, cluster: Runtime) -> None:
    """Whoever holds the token may answer anything; they see no other's output for it."""
    await start(cluster, callback=issue("seed", 8, BLOCK, 0, 0).text)
    kubernetes.end("Complete", **ended(0))
    others = kubernetes.job()["metadata"]["name"]

    outcome = await resume(cluster, {"status": "succeeded", "job": others, "pod": f"{others}-pod"})

    assert isinstance(outcome, Done)
    assert outcome.value["logs"] is None


@pytest.mark.parametrize("answer", [None, "done", {"status": "well"}, {"result": 1}])
async def test_an_answer_that_tells_no_end_is_refused(cluster: Runtime, answer: Any) -> None:
    with pytest.raises(ToolError, match="one of succeeded, failed, timed_out") as raised:
        await resume(cluster, answer)

    assert raised.value.kind == "validation"


async def test_a_job_that_nobody_ended_in_time_is_deleted(kubernetes: Api, cluster: Runtime) -> None:
    await start(cluster)
    tool = Container(cluster)
    late = call(tool, CONFIG, callback=LATER, answer={"status": "TIMED_OUT"}, answered=True, timeout=9.0)

    with pytest.raises(ToolError, match=r"within 9 s; it is deleted") as raised:
        await tool.run(late)

    assert (raised.value.kind, raised.value.retryable) == ("timeout", True)
    assert kubernetes.job()["metadata"]["deletionTimestamp"]


async def test_the_api_that_is_not_there_can_be_tried_again() -> None:
    cluster = Kubernetes(Cluster(Address(server="http://127.0.0.1:9", namespaces=(NAMESPACE,))))

    with pytest.raises(ToolError, match="is it running") as raised:
        await start(cluster)
    await cluster.close()

    assert (raised.value.kind, raised.value.retryable) == ("connection", True)


async def test_what_answers_in_place_of_the_api_is_told_apart(site: Site) -> None:
    cluster = Kubernetes(Cluster(Address(server=site.url, namespaces=(NAMESPACE,))))

    with pytest.raises(ToolError, match="correct NOETL_STREAM_KUBERNETES") as raised:
        await start(cluster)
    await cluster.close()

    assert (raised.value.kind, raised.value.retryable) == ("connection", True)


@pytest.mark.parametrize(
    ("status", "reason", "kind", "retryable", "advice"),
    [
        (403, "Forbidden", "auth", False, "grant it"),
        (422, "Invalid", "client_error", False, "correct the task"),
        (429, "TooManyRequests", "rate_limit", True, "try it again"),
        (500, "InternalError", "server_error", True, "try it again"),
    ],
)
async def test_a_refusal_is_told_in_the_apis_words(
    kubernetes: Api, cluster: Runtime, status: int, reason: str, kind: str, retryable: bool, advice: str
) -> None:
    kubernetes.refusals["POST", "jobs"] = status, {"reason": reason, "message": "jobs.batch cannot be made"}

    with pytest.raises(ToolError, match=f"jobs.batch cannot be made; {advice}") as raised:
        await start(cluster)

    error = raised.value
    assert (error.kind, error.code, error.status, error.retryable) == (kind, reason, status, retryable)
    assert kubernetes.objects == {}


async def test_a_job_that_cannot_have_its_environment_is_deleted(kubernetes: Api, cluster: Runtime) -> None:
    kubernetes.refusals["POST", "secrets"] = 403, {"reason": "Forbidden", "message": "no secrets here"}

    with pytest.raises(ToolError, match="no secrets here"):
        await start(cluster)

    assert kubernetes.job()["metadata"]["deletionTimestamp"]


async def test_the_login_is_read_anew_for_each_request(kubernetes: Api, tmp_path: Path) -> None:
    kubernetes.token, file = LOGIN, tmp_path / "token"
    file.write_text("an older one")
    cluster = Kubernetes(Cluster(Address(server=kubernetes.url, token_file=file, namespaces=(NAMESPACE,))))

    with pytest.raises(ToolError, match="renew the token") as raised:
        await start(cluster)
    file.write_text(f"{LOGIN}\n")
    await start(cluster)
    file.unlink()
    with pytest.raises(ToolError, match="cannot be read") as unread:
        await start(cluster)
    await cluster.close()

    assert (raised.value.kind, raised.value.status) == ("auth", 401)
    assert (unread.value.kind, LOGIN in str(raised.value)) == ("credential", False)
    assert len(kubernetes.jobs()) == 1


async def test_a_watcher_whose_api_refuses_goes_on_when_it_answers_again(
    kubernetes: Api, cluster: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    await start(cluster)
    kubernetes.end("Complete", **ended(0))
    refused = 503, b"<html>no gateway</html>"
    kubernetes.refusals |= {("GET", "jobs"): refused, ("GET", "pods"): refused}
    facts = Facts()
    async with watching(cluster, facts):
        await until(lambda: len(caplog.messages) == 2)
        kubernetes.refusals.clear()
        told = await facts.told.get()

    assert told.answer["status"] == "succeeded"
    assert all("not watched for now" in each for each in caplog.messages)


@pytest.mark.parametrize("name", ["", "A=B", "1ST", "WITH SPACE"])
def test_a_variable_that_the_cluster_would_not_take_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValidationError):
        Container.config.model_validate({"image": "busybox", "env": {name: 1}})


async def test_other_namespaces_are_refused(kubernetes: Api, cluster: Runtime) -> None:
    tool = Container(cluster)

    with pytest.raises(ToolError, match="use jobs-here"):
        await tool.run(call(tool, {**CONFIG, "namespace": "kube-system"}, callback=TOKEN))

    assert kubernetes.objects == {}


async def test_without_a_runtime_it_is_not_installed() -> None:
    tool = Container(None)

    with pytest.raises(ToolError, match=r"NOETL_STREAM_KUBERNETES, or .* NOETL_STREAM_CONTAINER_ENGINE"):
        await tool.run(call(tool, CONFIG, callback=TOKEN))
