"""As much of Snowflake's web interface as its driver asks for, on loopback: it lets one user in, and answers statements by rule."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa

PASSWORD = "correct horse battery"
_FIELDS = (("N", "fixed", pa.array([7, 8])), ("TEA", "text", pa.array(["Assam", None])))


@dataclass
class Account:
    """Where it listens, and the requests so far as path, query and body. `release` ends the waiting of what is slow."""

    port: int
    seen: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The bodies of all requests for a path."""
        return [body for at, _, body in self.seen if at == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    account: Account

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        split = urlsplit(self.path)
        body = json.loads(content) if content else {}
        self.account.seen.append((split.path, dict(parse_qsl(split.query)), body))
        self._answer(self._of(split.path, body))

    def _of(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        match path:
            case "/session/v1/login-request":
                return _login(body["data"])
            case "/queries/v1/query-request":
                return self._statement(body["sqlText"])
            case _:
                return {"success": True, "data": {}}

    def _statement(self, text: str) -> dict[str, Any]:
        if "SLOW" in text:
            self.account.release.wait(30)
        if "gramms" in text:
            data = {"sqlState": "42000", "queryId": "q", "errorCode": "001003"}
            return {
                "success": False,
                "code": "001003",
                "message": f"invalid identifier 'GRAMMS'; said by {PASSWORD}",
                "data": data,
            }
        return {"success": True, "data": _table()}

    def _answer(self, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@contextmanager
def serving() -> Iterator[Account]:
    """An account that is there for the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    account = _Handler.account = Account(port=server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield account
    finally:
        account.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _login(said: dict[str, Any]) -> dict[str, Any]:
    if said.get("PASSWORD") != PASSWORD:
        return {
            "success": False,
            "code": "390100",
            "message": "Incorrect username or password was specified.",
            "data": {},
        }
    return {
        "success": True,
        "data": {
            "token": "t",
            "masterToken": "m",
            "validityInSeconds": 3600,
            "masterValidityInSeconds": 3600,
            "parameters": [],
            "sessionInfo": {},
        },
    }


def _table() -> dict[str, Any]:
    """Two rows, as Snowflake sends Arrow."""
    schema = pa.schema(
        pa.field(name, column.type, metadata={"logicalType": kind.upper(), "precision": "38", "scale": "0"})
        for name, kind, column in _FIELDS
    )
    batch = pa.record_batch([column for _, _, column in _FIELDS], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    return {
        "queryId": "q",
        "queryResultFormat": "arrow",
        "rowtype": [
            {"name": name, "type": kind, "precision": 38, "scale": 0, "length": 20, "nullable": True}
            for name, kind, _ in _FIELDS
        ],
        "rowsetBase64": base64.b64encode(sink.getvalue()).decode(),
        "total": batch.num_rows,
        "returned": batch.num_rows,
        "parameters": [],
        "statementTypeId": 4096,
        "version": 1,
        "chunks": [],
    }
