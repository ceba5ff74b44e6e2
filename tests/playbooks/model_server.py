"""A local stand-in for a model: it speaks chat completions, answers as a test has written down, and remembers its requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.serving import in_a_thread


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Of one request. `wait` keeps it back until the model is released."""

    body: str
    status: int = 200
    wait: bool = False


def says(text: str) -> Answer:
    """A message without a call."""
    return _message({"role": "assistant", "content": text})


def calls(tool: str, arguments: Mapping[str, Any] | str, *, key: str | int = "call_1") -> Answer:
    """A call of a tool. Arguments that are text are sent as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": key, "type": "function", "function": {"name": tool, "arguments": text}}
    return _message({"role": "assistant", "content": None, "tool_calls": [call]})


def found(answer: str) -> Answer:
    """The verdict that the goal is reached."""
    return says(json.dumps({"done": True, "answer": answer}))


def lacks(what: str) -> Answer:
    """The verdict that it is not."""
    return says(json.dumps({"done": False, "next": what}))


def _message(message: Mapping[str, Any]) -> Answer:
    whole = {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    return Answer(body=json.dumps(whole))


@dataclass
class Model:
    """`plans` answer requests that offer tools, `verdicts` those that do not; the last of each is given for ever."""

    plans: list[Answer]
    verdicts: list[Answer] = field(default_factory=lambda: [lacks("everything")])
    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: dict[str, Any], login: str | None) -> Answer:
        self.seen.append(request)
        self.logins.append(login)
        left = self.plans if "tools" in request else self.verdicts
        return left.pop(0) if len(left) > 1 else left[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert self.path == "/v1/chat/completions"
        answer = self.model.answer(request, self.headers["authorization"])
        if answer.wait:
            self.model.release.wait(30)
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever lost patience has hung up: no news."""


@contextmanager
def answering(model: Model) -> Iterator[Model]:
    """Serve until the block ends."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"model": model}))
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    with in_a_thread(server, model.release.set):
        yield model
