"""The two grounds that containers run on, in the same words, so that one history is told on both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from tests.tools.engine_api import EngineServer
from tests.tools.kubernetes_api import NAMESPACE, TOKEN, Api, ended


class Ground(Protocol):
    """`settings` name it. While `answering` is not set, what is created stands, and nobody hears of it."""

    @property
    def settings(self) -> dict[str, Any]: ...

    @property
    def answering(self) -> threading.Event: ...

    def names(self) -> list[str]:
        """Of all containers that are there."""

    def running(self) -> list[str]: ...

    def environment(self, name: str) -> dict[str, str]: ...

    def happens(self, end: str, name: str | None = None) -> None:
        """One container, the one there is unless it is named, ends like this."""

    def writes(self, output: bytes) -> None:
        """What every container has written from here on."""

    def wants_login(self) -> None:
        """Nobody comes in without the one login, where there are logins."""

    def wait_for(self, condition: Callable[[], Any]) -> Any: ...


class OnKubernetes:
    def __init__(self, api: Api) -> None:
        self._api = api
        self.settings = {"kubernetes": api.url, "kubernetes_namespaces": (NAMESPACE,)}
        self.answering, self.wait_for = api.answering, api.wait_for

    def names(self) -> list[str]:
        return [job["metadata"]["name"] for job in self._api.jobs()]

    def running(self) -> list[str]:
        return [job["metadata"]["name"] for job in self._api.running()]

    def environment(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self._api.objects["secrets", name]["stringData"]
        return found

    def happens(self, end: str, name: str | None = None) -> None:
        job = self._api.objects["jobs", name or self._api.job()["metadata"]["name"]]
        match end:
            case "succeeded":
                self._api.end("Complete", "", job, **ended(0))
            case "failed":
                self._api.end("Failed", "BackoffLimitExceeded", job, **ended(3))
            case "timed_out":
                self._api.end("Failed", "DeadlineExceeded", job)
            case "evicted":
                self._api.end("Failed", "BackoffLimitExceeded", job, reason="Evicted")
            case _:
                self._api.delete(job["metadata"]["name"])

    def writes(self, output: bytes) -> None:
        self._api.output = output

    def wants_login(self) -> None:
        self._api.token = TOKEN


class OnEngine:
    def __init__(self, engine: EngineServer) -> None:
        self._engine = engine
        self.settings = {"container_engine": engine.url}
        self.answering, self.wait_for = engine.answering, engine.wait_for

    def names(self) -> list[str]:
        return list(self._engine.containers)

    def running(self) -> list[str]:
        return self._engine.status("running")

    def environment(self, name: str) -> dict[str, str]:
        words = self._engine.containers[name]["Config"]["Env"]
        return dict(word.split("=", 1) for word in words)

    def happens(self, end: str, name: str | None = None) -> None:
        name = name or self._engine.name()
        match end:
            case "succeeded":
                self._engine.end(0, name)
            case "failed":
                self._engine.end(3, name)
            case "timed_out":
                self._engine.end(137, name, FinishedAt="2999-01-01T00:00:00Z")
            case "evicted":
                self._engine.end(137, name)
            case _:
                self._engine.delete(name)

    def writes(self, output: bytes) -> None:
        self._engine.output = output

    def wants_login(self) -> None:
        """Whoever may open its socket is in."""
