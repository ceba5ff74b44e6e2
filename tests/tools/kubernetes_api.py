"""As much of the Kubernetes API as Jobs need, in this process: versions, selectors, watches, finalizers, refusals."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.serving import in_a_thread

NAMESPACE: Final = "jobs-here"
TOKEN: Final = "a-service-accounts-token"
PATIENCE: Final = 20.0
UNPULLABLE: Final = "nobody/has-this"
"""An image that no registry has."""
Item = Mapping[str, Any]


class Api:
    """`objects` by kind and name. `steps` are what happened, as watches tell it; `changed` guards both.

    `token` is asked of everybody where it is set. `refusals` are answers in place of a request's own, by method and kind.
    `output` is what every pod has written. While `answering` is not set, what is created stands, and nobody hears of it.
    """

    def __init__(self) -> None:
        self.url, self.version, self.closed = "", 0, False
        self.token: str | None = None
        self.refusals: dict[tuple[str, str], tuple[int, Any]] = {}
        self.output = b"one\ntwo\n"
        self.objects: dict[tuple[str, str], Item] = {}
        self.steps: list[tuple[int, str, Item | None, Item]] = []
        self.changed = threading.Condition()
        self.answering = threading.Event()
        self.answering.set()

    def put(self, kind: str, item: Item) -> Item:
        """Store an object as it is now, and tell the watches."""
        with self.changed:
            self.version += 1
            name = item["metadata"]["name"]
            before = self.objects.pop((kind, name), None)
            born = f"2026-01-01T00:00:00.{self.version:06}Z"
            given = {"uid": f"{name}-{self.version}", "creationTimestamp": born, "namespace": NAMESPACE}
            metadata = {**given, **item["metadata"], "resourceVersion": str(self.version)}
            item = {**item, "metadata": metadata}
            if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
                self.objects[kind, name] = item
            self.steps.append((self.version, kind, before, item))
            self.changed.notify_all()
            return item

    def jobs(self) -> list[Item]:
        with self.changed:
            return [item for (kind, _), item in self.objects.items() if kind == "jobs"]

    def job(self) -> Item:
        (found,) = self.jobs()
        return found

    def running(self) -> list[Item]:
        """The Jobs that have not ended yet."""
        return [job for job in self.jobs() if "status" not in job]

    def pod(self, job: Item, **status: Any) -> None:
        """A Job's pod, and how it fares."""
        name = f"{job['metadata']['name']}-pod"
        self.put("pods", {"metadata": {"name": name, "labels": job["metadata"]["labels"]}, "status": status})

    def end(self, condition: str, cause: str = "", job: Item | None = None, **status: Any) -> None:
        """A Job, the one there is unless it is named, ends, and so does its pod, with this status."""
        job = self.job() if job is None else job
        self.pod(job, **status)
        conditions = [{"type": condition, "status": "True", "reason": cause}]
        self.put("jobs", {**job, "status": {"conditions": conditions}})

    def delete(self, name: str) -> None:
        with self.changed:
            item = self.objects["jobs", name]
            self.put("jobs", {**item, "metadata": {**item["metadata"], "deletionTimestamp": "now"}})

    def close(self) -> None:
        self.closed = True

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        with self.changed:
            found = self.changed.wait_for(condition, timeout=PATIENCE)
        assert found
        return found


class _Handler(BaseHTTPRequestHandler):
    api: Api

    def _serve(self) -> None:
        split = urlsplit(self.path)
        query = {name: each[0] for name, each in parse_qs(split.query).items()}
        _, _, rest = split.path.partition(f"/namespaces/{NAMESPACE}/")
        kind, _, name = rest.partition("/")
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"null")
        with self.api.changed:
            status, told = self._refused(kind) or self._answer(kind, name, body, query)
        if status == 201:
            self.api.answering.wait(PATIENCE)
        if status == 200 and query.get("watch"):
            return self._watch(kind, query)
        return self._send(status, told)

    def _refused(self, kind: str) -> tuple[int, Any] | None:
        if self.api.token is not None and self.headers.get("authorization") != f"Bearer {self.api.token}":
            return 401, {"reason": "Unauthorized", "message": "Unauthorized"}
        return self.api.refusals.get((self.command, kind))

    def _answer(self, kind: str, name: str, body: Any, query: dict[str, str]) -> tuple[int, Any]:
        if name.endswith("/log"):
            there = ("pods", name.removesuffix("/log")) in self.api.objects
            return (200, self.api.output) if there else (404, {"reason": "NotFound"})
        found = self.api.objects.get((kind, name or ((body or {}).get("metadata", {}).get("name", ""))))
        match self.command:
            case "POST" if found:
                return 409, {"reason": "AlreadyExists", "message": "it is there"}
            case "POST":
                return 201, self._created(kind, body)
            case "GET" if not name:
                items = [i for (k, _), i in self.api.objects.items() if k == kind and _selected(i, query)]
                return 200, {"items": items, "metadata": {"resourceVersion": str(self.api.version)}}
            case _ if found is None:
                return 404, {"reason": "NotFound", "message": f"{name} is not there"}
            case "PATCH":
                return self._patch(found, body["metadata"])
            case "DELETE":
                self.api.delete(name)
                return 200, {"metadata": {}}
            case _:
                return 200, found

    def _created(self, kind: str, body: Item) -> Item:
        item = self.api.put(kind, body)
        if kind == "jobs" and body["spec"]["template"]["spec"]["containers"][0]["image"] == UNPULLABLE:
            self.api.pod(item, **unpullable(UNPULLABLE))
        return item

    def _patch(self, found: Item, change: dict[str, Any]) -> tuple[int, Any]:
        if change["resourceVersion"] != found["metadata"]["resourceVersion"]:
            return 409, {"reason": "Conflict", "message": "it has changed"}
        labels = {**found["metadata"]["labels"], **change["labels"]}
        metadata = {**found["metadata"], "labels": labels, "finalizers": change["finalizers"]}
        return 200, self.api.put("jobs", {**found, "metadata": metadata})

    def _watch(self, kind: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.end_headers()
        seen = int(query["resourceVersion"])
        while not self.api.closed:
            with self.api.changed:
                news = [each for each in self.api.steps if each[0] > seen]
                if not news:
                    self.api.changed.wait(0.2)
            for version, of, before, item in news:
                seen = version
                if of == kind and (told := self._told(before, item, query)) is not None:
                    self.wfile.write(json.dumps(told).encode() + b"\n")

    def _told(self, before: Item | None, item: Item, query: dict[str, str]) -> dict[str, Any] | None:
        """As Kubernetes does: what is selected no more is told as deleted, and as it was before."""
        was = before is not None and _selected(before, query)
        metadata = item["metadata"]
        gone = bool(metadata.get("deletionTimestamp")) and not metadata.get("finalizers")
        if _selected(item, query) and not gone:
            return {"type": "MODIFIED" if was else "ADDED", "object": item}
        if not was or before is None:
            return None
        version = {"resourceVersion": metadata["resourceVersion"]}
        return {"type": "DELETED", "object": {**before, "metadata": {**before["metadata"], **version}}}

    def _send(self, status: int, told: Any) -> None:
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked is gone
            self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _selected(item: Item, query: dict[str, str]) -> bool:
    labels = item["metadata"].get("labels", {})
    for part in query.get("labelSelector", "").split(","):
        name, equals, value = part.partition("=")
        wanted = labels.get(name) == value if equals else name in labels
        if part.startswith("!"):
            wanted = part[1:] not in labels
        if part and not wanted:
            return False
    field, _, value = query.get("fieldSelector", "").partition("=")
    return not field or item.get("status", {}).get(field.removeprefix("status.")) == value


@contextmanager
def serving_api() -> Iterator[Api]:
    """Listen until the block ends."""
    api = Api()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    with in_a_thread(server, api.close):
        yield api


def ended(code: int) -> dict[str, Any]:
    """A pod's status whose program has ended."""
    return {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [{"state": {"terminated": {"exitCode": code}}}],
    }


def unpullable(image: str) -> dict[str, Any]:
    """A pod's status that waits for its image for ever."""
    waiting = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
    return {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
