"""Containers as Jobs of a Kubernetes. Nothing is kept here: each view lists the Jobs whose end is not told yet."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from noetl_stream.core.tokens import Token, read
from noetl_stream.errors import InvalidRequest, ToolError
from noetl_stream.ports.tools import Call
from noetl_stream.tools.container.cluster import Cluster, Refused, Wanted
from noetl_stream.tools.container.config import ContainerConfig
from noetl_stream.tools.container.job import (
    TOLD,
    end_of,
    environment_of,
    exit_code,
    job_of,
    newest,
    of_attempt,
    unpullable,
    untold,
    why,
)
from noetl_stream.tools.container.runtime import (
    CALLBACK,
    INSTANCE,
    End,
    Output,
    Seen,
    Sight,
    View,
    Why,
    name_of,
)

log = logging.getLogger(__name__)

_GONE: Final = (404, 409)


class Kubernetes:
    """One cluster, in the namespaces that the installation uses."""

    name: ClassVar[str] = "kubernetes"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def place_of(self, config: ContainerConfig) -> str:
        allowed = self._cluster.address.namespaces
        found = config.namespace or allowed[0]
        if found not in allowed:
            raise ToolError(
                f"this installation runs no containers in the namespace '{found}'; use {', '.join(allowed)}",
                kind="client_error",
                code="refused_namespace",
            )
        return found

    async def start(self, call: Call) -> str:
        namespace = self.place_of(call.config)
        job = job_of(call, namespace, self._cluster.address.instance)
        name = job["metadata"]["name"]
        await self._cluster.create("jobs", namespace, job)
        if call.config.env:
            await self._give_environment(call.config, namespace, name)
        return f"Job {namespace}/{name}"

    async def _give_environment(self, config: ContainerConfig, namespace: str, name: str) -> None:
        """The Secret belongs to the Job, so it comes second; a Job that cannot have it would wait for it for ever."""
        job = await self._cluster.find("jobs", namespace, name)
        if job is None:
            return  # somebody has deleted it: its loss is told
        try:
            await self._cluster.create("secrets", namespace, environment_of(config, job))
        except Refused:
            await self._cluster.delete(namespace, name)
            raise

    async def output(self, call: Call, name: str | None) -> Output:
        namespace = self.place_of(call.config)
        selected = self._of_attempt(call)
        jobs = await self._newest("jobs", namespace, selected)
        own = [each for each in jobs if each["metadata"]["name"] == name] or jobs
        if not own:
            return Output(name, None)
        found = own[-1]["metadata"]
        pods = await self._newest("pods", namespace, f"{selected},{CALLBACK}={found['labels'][CALLBACK]}")
        lines = call.config.log_lines
        return Output(
            found["name"], await self._log_of(namespace, pods[-1], lines) if pods and lines else None
        )

    async def _log_of(self, namespace: str, pod: Mapping[str, Any], lines: int) -> str | None:
        """None where there is none: its program has not begun, or it is gone with its node."""
        try:
            return await self._cluster.log(namespace, pod["metadata"]["name"], lines)
        except Refused as refused:
            if refused.status not in (400, 404):
                raise
            return None

    async def stop(self, call: Call) -> None:
        """The token of its earlier segment, which names the Job, is not known any more."""
        namespace = self.place_of(call.config)
        for job in await self._newest("jobs", namespace, f"{self._of_attempt(call)},!{TOLD}"):
            await self._cluster.delete(namespace, job["metadata"]["name"])

    def views(self) -> tuple[View, ...]:
        namespaces = self._cluster.address.namespaces
        jobs = (_Jobs(cluster=self._cluster, namespace=namespace) for namespace in namespaces)
        pods = (_Pods(cluster=self._cluster, namespace=namespace) for namespace in namespaces)
        return (*jobs, *pods)

    async def mark(self, seen: Seen, end: End) -> None:
        change = {
            "resourceVersion": seen.version,
            "labels": {TOLD: end},
            "finalizers": [each for each in seen.finalizers if each != TOLD],
        }
        try:
            await self._cluster.patch(seen.place, seen.name, {"metadata": change})
        except Refused as refused:
            if refused.status not in _GONE:
                raise

    async def delete(self, seen: Seen) -> None:
        await self._cluster.delete(seen.place, seen.name)

    async def close(self) -> None:
        await self._cluster.close()

    def _of_attempt(self, call: Call) -> str:
        return of_attempt(self._cluster.address.instance, read(call.callback))

    async def _newest(self, kind: Any, namespace: str, labels: str) -> list[Mapping[str, Any]]:
        return newest((await self._cluster.list(kind, namespace, Wanted(labels=labels)))["items"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Jobs:
    """A namespace's Jobs."""

    cluster: Cluster
    namespace: str

    @property
    def name(self) -> str:
        return f"jobs in '{self.namespace}'"

    async def follow(self, sight: Sight, /) -> None:
        wanted = Wanted(labels=untold(self.cluster.address.instance))
        listed = await self.cluster.list("jobs", self.namespace, wanted)
        sight.forget(self.namespace)
        for job in listed["items"]:
            await self._show(job, sight, gone=False)
        async for event in self.cluster.watch("jobs", self.namespace, wanted, _version(listed)):
            if event["type"] == "ERROR":
                return
            await self._show(event["object"], sight, gone=event["type"] == "DELETED")

    async def _show(self, job: Mapping[str, Any], sight: Sight, *, gone: bool) -> None:
        if (token := _waiting(job)) is None or (gone and await self._stands(job)):
            return
        pods = [] if gone else await self._ended_pods(job)
        end: End | None = "lost" if gone else end_of(job, pods)
        await sight.see(_seen(job, token, end, pods, why(job, pods)))

    async def _stands(self, job: Mapping[str, Any]) -> bool:
        """Whether it is there: a watch calls deleted, and shows as it was before, what its selector means no longer."""
        metadata = job["metadata"]
        found = await self.cluster.find("jobs", metadata["namespace"], metadata["name"])
        return found is not None and found["metadata"]["uid"] == metadata["uid"]

    async def _ended_pods(self, job: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The pods of a Job that has ended, the newest last; none of one that runs, which nobody needs."""
        if end_of(job, []) is None:
            return []
        metadata = job["metadata"]
        own = Wanted(labels=f"{CALLBACK}={metadata['labels'][CALLBACK]}")
        return newest((await self.cluster.list("pods", metadata["namespace"], own))["items"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pods:
    """A namespace's pods that wait: a Job whose image cannot be had would try for ever."""

    cluster: Cluster
    namespace: str

    @property
    def name(self) -> str:
        return f"pods in '{self.namespace}'"

    async def follow(self, sight: Sight, /) -> None:
        instance = self.cluster.address.instance
        wanted = Wanted(labels=f"{INSTANCE}={instance},{CALLBACK}", fields="status.phase=Pending")
        listed = await self.cluster.list("pods", self.namespace, wanted)
        for pod in listed["items"]:
            await self._show(pod, sight)
        async for event in self.cluster.watch("pods", self.namespace, wanted, _version(listed)):
            if event["type"] == "ERROR":
                return
            if event["type"] != "DELETED":
                await self._show(event["object"], sight)

    async def _show(self, pod: Mapping[str, Any], sight: Sight) -> None:
        if (reason := unpullable(pod)) is None:
            return
        metadata = pod["metadata"]
        job = await self.cluster.find("jobs", metadata["namespace"], name_of(metadata["labels"][CALLBACK]))
        if job is not None and (token := _waiting(job)) is not None:
            await sight.see(_seen(job, token, "failed", [pod], reason, doomed=True))


def _seen(
    job: Mapping[str, Any],
    token: Token,
    end: End | None,
    pods: Sequence[Mapping[str, Any]],
    reason: Why,
    *,
    doomed: bool = False,
) -> Seen:
    metadata = job["metadata"]
    return Seen(
        key=metadata["uid"],
        name=metadata["name"],
        place=metadata["namespace"],
        token=token,
        end=end,
        exit_code=exit_code(pods),
        why=reason,
        version=metadata["resourceVersion"],
        finalizers=tuple(metadata.get("finalizers") or ()),
        doomed=doomed,
    )


def _version(listed: Mapping[str, Any]) -> str:
    return str(listed["metadata"]["resourceVersion"])


def _waiting(job: Mapping[str, Any]) -> Token | None:
    """Who waits for a Job; None where that is over, or, with a warning, where somebody has taken its token away."""
    metadata = job["metadata"]
    if TOLD in metadata["labels"]:
        return None
    try:
        return read(str((metadata.get("annotations") or {}).get(CALLBACK, "")))
    except InvalidRequest:
        log.warning("Job %s has lost its annotation %s; nobody hears of its end", metadata["name"], CALLBACK)
        return None
