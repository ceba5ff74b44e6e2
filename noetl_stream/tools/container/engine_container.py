"""The container of one block's run as an engine is asked for it, and how one that is seen has ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call
from noetl_stream.tools.container.config import ContainerConfig
from noetl_stream.tools.container.runtime import PREFIX, End, Why, labels_of

TOKEN: Final = f"{PREFIX}/token"
"""Label: the token, for whoever tells of the end."""
SECONDS: Final = f"{PREFIX}/timeout"
"""Label: how long it may take from its creation on."""
KILLED: Final = 137
TERMINATED: Final = 143
_ABSENT: Final = {
    "namespace": "leave it out",
    "service_account": "leave it out",
    "restart_policy": "let a rule of the task `retry`",
    "backoff_limit": "let a rule of the task `retry`",
}
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)(m|k|[MGTPE]|[KMGTPE]i)?")
_UNITS: Final = {
    "": 1.0,
    "m": 0.001,
    "k": 1e3,
    **{unit: 1000.0 ** (power + 2) for power, unit in enumerate("MGTPE")},
    **{f"{unit}i": 1024.0 ** (power + 1) for power, unit in enumerate("KMGTPE")},
}


def check(config: ContainerConfig) -> None:
    """Raises ToolError for what only a cluster can do: it is not to be left undone in silence."""
    for name, advice in _ABSENT.items():
        if getattr(config, name) != ContainerConfig.model_fields[name].default:
            raise ToolError(
                f"a container engine has no `{name}`; {advice}, or use a Kubernetes",
                kind="client_error",
                code="refused_key",
            )
    _resources(config)


def container_of(call: Call, instance: str) -> dict[str, Any]:
    config: ContainerConfig = call.config
    labels = {**labels_of(call.callback, instance), TOKEN: call.callback}
    if call.timeout is not None:
        labels[SECONDS] = f"{call.timeout:.3f}"
    command = config.command
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    return {
        "Image": config.image,
        **({} if words is None else {"Entrypoint": [str(word) for word in words]}),
        **({"Cmd": [str(word) for word in config.args]} if config.args else {}),
        "Env": [f"{name}={value}" for name, value in config.env.items() if value is not None],
        "Labels": labels,
        "HostConfig": _resources(config),
    }


def end_of(found: Mapping[str, Any]) -> End | None:
    """How it has ended; None while it runs."""
    state = found["State"]
    match state["Status"]:
        case "dead":
            return "evicted"
        case "exited" | "stopped":
            code = int(state["ExitCode"])
        case _:
            return None
    if code == 0:
        return "succeeded"
    if code not in (KILLED, TERMINATED) or state.get("OOMKilled"):
        return "failed"
    deadline = deadline_of(found)
    late = deadline is not None and _moment(state["FinishedAt"]) >= deadline
    return "timed_out" if late else "evicted"


def why(found: Mapping[str, Any]) -> Why:
    state = found["State"]
    if state.get("OOMKilled"):
        return Why("OOMKilled", "it needed more memory than its `resources.limits`")
    if state.get("Error"):
        return Why("Error", str(state["Error"]))
    if end_of(found) == "evicted":
        return Why("Killed", "by somebody, or as the engine stopped")
    return Why(None, None)


def deadline_of(found: Mapping[str, Any]) -> float | None:
    """In seconds since 1970; None: it may run for ever."""
    seconds = found["Config"]["Labels"].get(SECONDS)
    return None if seconds is None else _moment(found["Created"]) + float(seconds)


def finished(found: Mapping[str, Any]) -> float:
    """In seconds since 1970; long ago for one that has never run."""
    return _moment(found["State"]["FinishedAt"])


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _resources(config: ContainerConfig) -> dict[str, int]:
    """What a node's kubelet makes of the same words."""
    found = {}
    for kind, memory, cpu, share in (
        ("limits", "Memory", "NanoCpus", 1e9),
        ("requests", "MemoryReservation", "CpuShares", 1024),
    ):
        for name, amount in getattr(config.resources, kind).items():
            match name:
                case "memory":
                    found[memory] = round(_amount(name, amount))
                case "cpu":
                    found[cpu] = max(2, round(_amount(name, amount) * share))
                case _:
                    raise _unknown(f"`resources.{kind}.{name}`", "name cpu and memory only")
    return found


def _amount(name: str, amount: str | float) -> float:
    matched = _QUANTITY.fullmatch(str(amount))
    if matched is None:
        raise _unknown(f"{name} of '{amount}'", "write it as 500m, 2, 128Mi or 1G")
    return float(matched[1]) * _UNITS[matched[2] or ""]


def _unknown(what: str, advice: str) -> ToolError:
    return ToolError(
        f"a container engine has no {what}; {advice}", kind="client_error", code="refused_resource"
    )
