"""The Job of one block's run, and how a Job that is seen has ended. Its annotation is the token, for whoever tells of the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from noetl_stream.core.tokens import Token
from noetl_stream.ports.tools import Call
from noetl_stream.tools.container.config import ContainerConfig
from noetl_stream.tools.container.runtime import (
    CALLBACK,
    INSTANCE,
    KEPT_SECONDS,
    PREFIX,
    End,
    Why,
    labels_of,
    labels_of_attempt,
    name_of,
)

TOLD: Final = f"{PREFIX}/told"
"""Label: the end that the platform knows of; a Job that has it is watched no more."""
_DISRUPTED: Final = (
    "Evicted",
    "Preempting",
    "Preempted",
    "NodeLost",
    "NodeShutdown",
    "Terminated",
    "Shutdown",
)
_UNPULLABLE: Final = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


def untold(instance: str) -> str:
    """Selects the Jobs of an installation whose end it does not know."""
    return f"{INSTANCE}={instance},{CALLBACK},!{TOLD}"


def of_attempt(instance: str, token: Token) -> str:
    """Selects the Jobs that one attempt of a block has started, in whichever segment."""
    return ",".join(f"{name}={value}" for name, value in labels_of_attempt(instance, token).items())


def job_of(call: Call, namespace: str, instance: str) -> dict[str, Any]:
    """The Job to create. The finalizer keeps one that somebody deletes until its loss is told."""
    config: ContainerConfig = call.config
    labels = labels_of(call.callback, instance)
    name = name_of(labels[CALLBACK])
    spec: dict[str, Any] = {
        "backoffLimit": config.backoff_limit,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "template": {"metadata": {"labels": labels}, "spec": _pod(config, name)},
    }
    if call.timeout is not None:
        spec["activeDeadlineSeconds"] = max(1, round(call.timeout))
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        "annotations": {CALLBACK: call.callback},
        "finalizers": [TOLD],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def environment_of(config: ContainerConfig, job: Mapping[str, Any]) -> dict[str, Any]:
    """The Secret of a Job's environment, which goes with it."""
    own = {name: job["metadata"][name] for name in ("name", "namespace")}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": own["name"], "uid": job["metadata"]["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**own, "ownerReferences": [owner]},
        "stringData": {name: str(value) for name, value in config.env.items() if value is not None},
    }


def _pod(config: ContainerConfig, name: str) -> dict[str, Any]:
    command = config.command
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    container: dict[str, Any] = {"name": "task", "image": config.image}
    if words is not None:
        container["command"] = [str(word) for word in words]
    if config.args:
        container["args"] = [str(word) for word in config.args]
    if config.env:
        container["envFrom"] = [{"secretRef": {"name": name}}]
    container["resources"] = {
        kind: {each: str(amount) for each, amount in amounts.items()}
        for kind, amounts in (("requests", config.resources.requests), ("limits", config.resources.limits))
    }
    account = {} if config.service_account is None else {"serviceAccountName": config.service_account}
    return {
        "restartPolicy": config.restart_policy,
        "automountServiceAccountToken": config.service_account is not None,
        "containers": [container],
        **account,
    }


def end_of(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> End | None:
    """How a Job has ended; None while it runs. `pods` are its own, the newest last."""
    conditions = _conditions(job)
    if "Complete" in conditions:
        return "succeeded"
    if "Failed" in conditions:
        if conditions["Failed"].get("reason") == "DeadlineExceeded":
            return "timed_out"
        return "evicted" if pods and _is_disrupted(pods[-1]) else "failed"
    return "lost" if job["metadata"].get("deletionTimestamp") else None


def why(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Why:
    """Why it failed, in Kubernetes' own words: its pod knows more than the Job does."""
    pod = pods[-1].get("status", {}) if pods else {}
    for told in (pod, _conditions(job).get("Failed", {})):
        if told.get("reason"):
            return Why(told["reason"], told.get("message"))
    return Why(None, None)


def unpullable(pod: Mapping[str, Any]) -> Why | None:
    """Why its image cannot be had, where Kubernetes says so; it would try for ever."""
    for each in pod.get("status", {}).get("containerStatuses") or ():
        waiting = (each.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _UNPULLABLE:
            return Why(waiting["reason"], waiting.get("message"))
    return None


def _conditions(job: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = job.get("status", {}).get("conditions") or ()
    return {each["type"]: each for each in found if each.get("status") == "True"}


def _is_disrupted(pod: Mapping[str, Any]) -> bool:
    """Whether the cluster took the pod away, rather than that its program ended."""
    status = pod.get("status", {})
    disrupted = any(
        each.get("type") == "DisruptionTarget" and each.get("status") == "True"
        for each in status.get("conditions") or ()
    )
    return disrupted or status.get("reason") in _DISRUPTED


def exit_code(pods: Sequence[Mapping[str, Any]]) -> int | None:
    """What the newest pod's program ended with, where it ended."""
    for each in pods[-1].get("status", {}).get("containerStatuses") or () if pods else ():
        for state in (each.get("state") or {}, each.get("lastState") or {}):
            if "terminated" in state:
                return int(state["terminated"]["exitCode"])
    return None


def newest(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same, the newest last."""
    return sorted(items, key=lambda item: str(item["metadata"].get("creationTimestamp")))
