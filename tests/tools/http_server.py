"""A real server on loopback that answers as its path says, and remembers what it was sent."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from tests.serving import in_a_thread

CERTIFICATE = Path(__file__).with_name("localhost_test_only.pem")


@dataclass
class Site:
    """Where it listens, and the requests so far."""

    url: str
    seen: list[dict[str, object]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def _serve(self) -> None:
        split = urlsplit(self.path)
        query = parse_qsl(split.query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.site.seen.append({"method": self.command, "query": query, "headers": headers, "body": body})
        match split.path.strip("/").split("/"):
            case ["status", code]:
                self._answer(int(code), json.dumps({"error": code}).encode(), "application/json", dict(query))
            case ["redirect"]:
                self._answer(302, b"", "text/plain", {"Location": dict(query)["to"]})
            case ["text"]:
                self._answer(200, dict(query)["is"].encode(), None, {})
            case ["text", kind]:
                self._answer(200, dict(query)["is"].encode(), kind.replace("-", "/"), {})
            case ["bytes"]:
                self._answer(200, b"\xff\xfe\x00", "application/octet-stream", {})
            case ["large"]:
                self._answer(200, b"x" * 100_000, "text/plain", {})
            case ["pages", kind]:
                self._serve_page(kind, dict(query))
            case ["slow"]:
                self.site.release.wait(30)
                self._answer(200, b"", "text/plain", {})
            case ["drop"]:
                self.close_connection = True
            case _:
                self._answer(200, b'{"ok": true}', "application/json", {"Set-Cookie": "session=secret"})

    def _serve_page(self, kind: str, query: dict[str, str]) -> None:
        """One of several, which tells of the next in the way of its `kind`."""
        more: dict[str, str] = {}
        match kind:
            case "link":
                page = int(query.get("page", 1))
                found: object = [page]
                more = {"Link": f'</pages/link?page={page + 1}>; rel="next"'} if page < 3 else {}
            case "counted":
                page = int(query.get("offset", 1))
                found = {"rows": [page] if page < 5 else []}
            case "named":
                page = int(query.get("cursor", 1))
                following = {"token": str(page + 1), "url": f"/pages/named?cursor={page + 1}&by=url"}
                found = {"rows": [page], "meta": following if page < 3 else {"token": "", "url": None}}
            case _:
                found = {"rows": [], "next": "http://other.example/pages"}
        self._answer(200, json.dumps(found).encode(), "application/json", more)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    def _answer(self, status: int, body: bytes, kind: str | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        typed = {} if kind is None else {"Content-Type": kind}
        for name, value in {**typed, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def serving(*, tls: bool = False) -> Iterator[Site]:
    """Serve until the block ends."""
    site = Site(url="")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.url = f"{'https' if tls else 'http'}://localhost:{server.server_port}"
    with in_a_thread(server, site.release.set):
        yield site
