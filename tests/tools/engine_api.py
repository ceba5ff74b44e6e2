"""As much of the API of Docker and Podman as containers need, in this process, on a socket of the file system."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.serving import in_a_thread
from tests.tools.kubernetes_api import UNPULLABLE

PATIENCE: Final = 20.0
NEVER: Final = "0001-01-01T00:00:00Z"
Answer = tuple[int, Any]


class EngineServer:
    """`containers` as they are inspected and `volumes`, by name; `images` that are there, and `pulled` that were not.

    `refusals` are answers in place of a request's own, by method and the path's last word. `conflict` is what a taken name
    is refused with. While `answering` is not set, what is created stands, and nobody hears of it. `changed` guards all.
    """

    def __init__(self, socket: Path) -> None:
        self.socket, self.closed, self.conflict = socket, False, 409
        self.output = b"one\ntwo\n"
        self.images, self.pulled = {"busybox"}, list[str]()
        self.containers: dict[str, dict[str, Any]] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.refusals: dict[tuple[str, str], Answer] = {}
        self.events: list[dict[str, Any]] = []
        self.started: list[str] = []
        self.changed = threading.Condition()
        self.answering = threading.Event()
        self.answering.set()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def status(self, status: str) -> list[str]:
        """The names of the containers that fare like this."""
        with self.changed:
            return [n for n, each in self.containers.items() if each["State"]["Status"] == status]

    def name(self) -> str:
        (found,) = self.containers
        return found

    def end(self, code: int = 0, name: str | None = None, **state: Any) -> None:
        """A container, the one there is unless it is named, ends."""
        with self.changed:
            name = name or self.name()
            over = {"Status": "exited", "ExitCode": code, "FinishedAt": _now(), **state}
            self.containers[name]["State"] |= over
            self.happened("die", name, self.containers[name])

    def delete(self, name: str) -> None:
        with self.changed:
            self.happened("destroy", name, self.containers.pop(name))

    def happened(self, action: str, name: str, container: Mapping[str, Any]) -> None:
        attributes = {"name": name, **container["Config"]["Labels"]}
        self.events.append({"Type": "container", "Action": action, "Actor": {"Attributes": attributes}})
        self.changed.notify_all()

    def close(self) -> None:
        self.closed = True

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        with self.changed:
            found = self.changed.wait_for(condition, timeout=PATIENCE)
        assert found
        return found


class _Handler(BaseHTTPRequestHandler):
    engine: EngineServer

    def _serve(self) -> None:
        split = urlsplit(self.path)
        query = {name: each[0] for name, each in parse_qs(split.query).items()}
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"null")
        _, kind, *rest = split.path.split("/")
        if kind == "events":
            return self._watch(query)
        with self.engine.changed:
            refused = self.engine.refusals.get((self.command, ([kind, *rest])[-1]))
            status, told = refused or self._answer(kind, rest, body, query)
            self.engine.changed.notify_all()
        if rest == ["create"] and kind == "containers":
            self.engine.answering.wait(PATIENCE)
        return self._send(status, told)

    def _answer(self, kind: str, rest: list[str], body: Any, query: dict[str, str]) -> Answer:
        match self.command, kind, rest:
            case "POST", "images", _:
                return self._pull(query["fromImage"], query.get("tag"))
            case "POST", "volumes", _:
                self.engine.volumes.setdefault(body["Name"], body)
                return 201, body
            case "GET", "volumes", []:
                return 200, {
                    "Volumes": [v for v in self.engine.volumes.values() if _selected(v["Labels"], query)]
                }
            case "GET", "volumes", [name]:
                found = self.engine.volumes.get(name)
                return _gone(name) if found is None else (200, found)
            case "DELETE", "volumes", [name]:
                return _gone(name) if self.engine.volumes.pop(name, None) is None else (204, b"")
            case "POST", "containers", ["create"]:
                return self._create(query["name"], body)
            case "GET", "containers", ["json"]:
                return 200, [
                    _listed(c)
                    for c in self.engine.containers.values()
                    if _selected(c["Config"]["Labels"], query)
                ]
            case _, _, [name, *verb]:
                found = self.engine.containers.get(name)
                return _gone(name) if found is None else self._of_one(name, found, verb)
            case _:
                return 404, {"message": "page not found"}  # fmt: skip

    def _of_one(self, name: str, found: dict[str, Any], verb: list[str]) -> Answer:
        running = found["State"]["Status"] == "running"
        match self.command, verb:
            case "GET", ["json"]:
                return 200, found
            case "GET", ["logs"]:
                return 200, framed(self.engine.output)
            case "POST", ["start"] if not running:
                self.engine.started.append(name)
                found["State"]["Status"] = "running"
                self.engine.happened("start", name, found)
                return 204, b""
            case "POST", ["start"]:
                return 304, b""
            case "POST", ["kill"] if not running:
                return 409, {"message": f"Container {name} is not running"}
            case "POST", ["kill"]:
                self.engine.end(137, name)
                return 204, b""
            case _:
                self.engine.delete(name)
                return 204, b""

    def _create(self, name: str, body: dict[str, Any]) -> Answer:
        if name in self.engine.containers:
            return self.engine.conflict, {"message": f"the container name {name} is already in use"}
        if body["Image"] not in self.engine.images:
            return 404, {"message": f"No such image: {body['Image']}"}
        state = {"Status": "created", "ExitCode": 0, "OOMKilled": False, "Error": "", "FinishedAt": NEVER}
        self.engine.containers[name] = {"Created": _now(), "Config": body, "State": state}
        self.engine.happened("create", name, self.engine.containers[name])
        return 201, {"Id": name, "Warnings": []}

    def _pull(self, image: str, tag: str | None) -> Answer:
        lines: list[dict[str, Any]] = [{"status": f"Pulling from {image}"}]
        if image.startswith(UNPULLABLE):
            lines.append({"error": f"pull access denied for {image}"})
        else:
            self.engine.pulled.append(image if tag is None else f"{image}:{tag}")
            self.engine.images.add(image)
        return 200, b"".join(json.dumps(line).encode() + b"\r\n" for line in lines)

    def _watch(self, query: dict[str, str]) -> None:
        self.send_response(200)
        with self.engine.changed:
            seen = len(self.engine.events)
        with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked is gone
            self.end_headers()
            while not self.engine.closed:
                seen = self._tell(seen, query)

    def _tell(self, seen: int, query: dict[str, str]) -> int:
        with self.engine.changed:
            if len(self.engine.events) == seen:
                self.engine.changed.wait(0.2)
            news = self.engine.events[seen:]
        told = [each for each in news if _selected(each["Actor"]["Attributes"], query)]
        self.wfile.write(b"".join(json.dumps(each).encode() + b"\n" for each in told))
        return seen + len(news)

    def _send(self, status: int, told: Any) -> None:
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked is gone
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def framed(output: bytes) -> bytes:
    """As an engine sends what a container without a terminal wrote: each line with its stream and length before it."""
    lines = output.splitlines(keepends=True)
    return b"".join(bytes([1 + n % 2, 0, 0, 0]) + len(x).to_bytes(4, "big") + x for n, x in enumerate(lines))


def _listed(container: Mapping[str, Any]) -> dict[str, Any]:
    born = datetime.fromisoformat(container["Created"]).timestamp()
    return {"Created": int(born), "Labels": container["Config"]["Labels"]}


def _selected(labels: Mapping[str, str], query: dict[str, str]) -> bool:
    wanted = json.loads(query.get("filters", "{}")).get("label", [])
    return all(labels.get(name) == value for name, _, value in (each.partition("=") for each in wanted))


def _gone(name: str) -> Answer:
    return 404, {"message": f"No such object: {name}"}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "123Z")


class _Server(ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def serving_engine() -> Iterator[EngineServer]:
    """Listen until the block ends. The path is short, as a socket's has to be."""
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        engine = EngineServer(Path(folder) / "s")
        server = _Server(str(engine.socket), type("Handler", (_Handler,), {"engine": engine}))
        with in_a_thread(server, engine.close):
            yield engine
