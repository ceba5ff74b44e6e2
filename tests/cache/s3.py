"""A local S3 (moto's server) in a process of its own, with a bucket for each test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

from obstore.store import ObjectStore, from_url

from noetl_stream.cache.transfer import Patience

HASTY = Patience(connect=2, silence=1, request=10, retry_for=10, retries=2)
"""For tests that wait until patience ends; a busy machine needs more of it."""
PATIENT = Patience()
_SERVE = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
_REGION = "us-east-1"


@dataclass(frozen=True, kw_only=True)
class S3:
    """Where it listens, as http://HOST:PORT, and who asks."""

    endpoint: str
    key: str = "a-key"

    def new_bucket(self) -> str:
        """The URL of a bucket that nobody else uses."""
        name = f"bucket-{uuid4().hex[:12]}"
        with urlopen(Request(f"{self.endpoint}/{name}", method="PUT")) as answer:
            assert answer.status == 200
        return f"s3://{name}"

    @property
    def options(self) -> tuple[str, ...]:
        """For `NOETL_STREAM_CACHE_OPTIONS`."""
        return tuple(f"{name}={value}" for name, value in self._options.items())

    @property
    def _options(self) -> Mapping[str, str]:
        return {
            "endpoint": self.endpoint,
            "region": _REGION,
            "access_key_id": self.key,
            "secret_access_key": "a-secret",
        }

    def store(self, url: str, patience: Patience = PATIENT) -> ObjectStore:
        """A client of our own, to look behind the cache's back."""
        more: dict[str, Any] = dict(self._options)
        return from_url(url, client_options=patience.client(), retry_config=patience.retry(), **more)


@contextmanager
def s3_server(*, demands_users: bool = False) -> Iterator[S3]:
    """A running one. `demands_users`: after its first request it knows no key at all."""
    more = {"INITIAL_NO_AUTH_ACTION_COUNT": "1"} if demands_users else {}
    command = [sys.executable, "-c", _SERVE]
    with subprocess.Popen(
        command, env=os.environ | more, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        host, port = process.stdout.readline().split()
        try:
            yield S3(endpoint=f"http://{host}:{port}")
        finally:
            process.kill()
