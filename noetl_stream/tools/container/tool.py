"""The container tool: a Kubernetes Job for the block's run, waited for without a slot, and its output's last lines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from noetl_stream.core.events import Callback
from noetl_stream.core.tokens import read
from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature, Park
from noetl_stream.tools.container.cluster import Cluster, Refused, Wanted
from noetl_stream.tools.container.config import ContainerConfig
from noetl_stream.tools.container.ends import checked, raised
from noetl_stream.tools.container.job import CALLBACK, TOLD, environment_of, job_of, newest, of_attempt
from noetl_stream.tools.running_time import running_time

GRACE: Final = 60.0
"""Seconds past its timeout in which Kubernetes may stop the Job itself, and say so."""


class Container:
    """`kind: container`. Its result is `{status, job, namespace, exit_code, reason, message, result, logs}`."""

    kind: ClassVar[str] = "container"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = ContainerConfig

    def __init__(self, cluster: Cluster | None) -> None:
        """`cluster` belongs to whoever made it; None: this installation has none."""
        self._cluster = cluster

    async def run(self, call: Call) -> Done | Park:
        cluster = self._cluster
        if cluster is None:
            raise ToolError(
                "this installation reaches no Kubernetes; name its API in NOETL_STREAM_KUBERNETES",
                kind="not_installed",
            )
        namespace = _namespace(call.config, cluster)
        if not call.answered:
            return await _start(cluster, call, namespace)
        if call.answer["status"] == "ANSWERED":
            return await _ended(cluster, call, namespace, call.answer["answer"])
        await _stop(cluster, call, namespace)
        within = "in time" if call.timeout is None else f"within {call.timeout:g} s"
        raise ToolError(
            f"Kubernetes did not end the Job {within}; it is deleted. Raise `timeout`",
            kind="timeout",
            retryable=True,
        )

    async def close(self) -> None:
        """The cluster's connections belong to whoever made them."""


def _namespace(config: ContainerConfig, cluster: Cluster) -> str:
    allowed = cluster.address.namespaces
    found = config.namespace or allowed[0]
    if found not in allowed:
        raise ToolError(
            f"this installation runs no containers in the namespace '{found}'; use {', '.join(allowed)}",
            kind="client_error",
            code="refused_namespace",
        )
    return found


async def _start(cluster: Cluster, call: Call, namespace: str) -> Park:
    """Create what is not there yet, and wait for it."""
    job = job_of(call, namespace, cluster.address.instance)
    name = job["metadata"]["name"]
    async with running_time("container", call.timeout):
        await cluster.create("jobs", namespace, job)
        if call.config.env:
            await _give_environment(cluster, call.config, namespace, name)
    until = None if call.timeout is None else time.time() + call.timeout + GRACE
    asked = {"kind": "container", "prompt": f"the end of Job {namespace}/{name}"}
    return Park(wait=Callback(until=until, ask=asked))


async def _give_environment(cluster: Cluster, config: ContainerConfig, namespace: str, name: str) -> None:
    """The Secret belongs to the Job, so it comes second; a Job that cannot have it would wait for it for ever."""
    job = await cluster.find("jobs", namespace, name)
    if job is None:
        return  # somebody has deleted it: its loss is told
    try:
        await cluster.create("secrets", namespace, environment_of(config, job))
    except Refused:
        await cluster.delete(namespace, name)
        raise


async def _ended(cluster: Cluster, call: Call, namespace: str, answer: Value) -> Done:
    """What came of it. Its output is read here and not by who told of it: here secrets are known, and taken out."""
    told = checked(answer)
    seen = {"logs": None} if told["status"] == "lost" else await _seen(cluster, call, namespace, told["job"])
    found = {"namespace": namespace, **told, **seen}
    if told["status"] == "succeeded":
        return Done(value=found)
    raise raised(found)


async def _seen(cluster: Cluster, call: Call, namespace: str, job: str | None) -> dict[str, Any]:
    """`{job, logs}`. Only Jobs and pods of this very block are looked at, whatever the answer says: it may come from
    anybody who was given the token."""
    selected = of_attempt(cluster.address.instance, read(call.callback))
    jobs = newest((await cluster.list("jobs", namespace, Wanted(labels=selected)))["items"])
    own = [each for each in jobs if each["metadata"]["name"] == job] or jobs
    if not own:
        return {"logs": None}
    found = own[-1]["metadata"]
    labels = f"{selected},{CALLBACK}={found['labels'][CALLBACK]}"
    pods = newest((await cluster.list("pods", namespace, Wanted(labels=labels)))["items"])
    lines = call.config.log_lines
    logs = await _log_of(cluster, namespace, pods[-1], lines) if pods and lines else None
    return {"job": found["name"], "logs": logs}


async def _log_of(cluster: Cluster, namespace: str, pod: Mapping[str, Any], lines: int) -> str | None:
    """None where there is none: its program has not begun, or it is gone with its node."""
    try:
        return await cluster.log(namespace, pod["metadata"]["name"], lines)
    except Refused as refused:
        if refused.status not in (400, 404):
            raise
        return None


async def _stop(cluster: Cluster, call: Call, namespace: str) -> None:
    """Delete what the attempt has started: the token of its earlier segment, which names the Job, is not known any more."""
    own = Wanted(labels=f"{of_attempt(cluster.address.instance, read(call.callback))},!{TOLD}")
    for job in (await cluster.list("jobs", namespace, own))["items"]:
        await cluster.delete(namespace, job["metadata"]["name"])
