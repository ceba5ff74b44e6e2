"""Runs a real NATS server with JetStream for the tests, in a folder of its own; it may be killed and started again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

from tests.children import HOST, Child, LoginServer, ServerMissing, answers, free_port

USER = "tests"
_DEBIAN = "/usr/sbin"  # where it installs the server, off a user's PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(LoginServer):
    """A NATS server. What its streams acknowledged outlives a kill."""

    @property
    def url(self) -> str:
        """Its address, with the user's name and password."""
        return f"nats://{USER}:{self.password}@{HOST}:{self.port}"


@contextmanager
def running() -> Iterator[Server]:
    """A fresh server that runs for the block; afterwards nothing of it is left.

    Raises:
        ServerMissing: it is not installed here.
        ChildFailed: it is, and yet it did not start.
    """
    program = shutil.which("nats-server") or shutil.which("nats-server", path=_DEBIAN)
    if program is None:
        raise ServerMissing(f"no `nats-server` on the PATH or in {_DEBIAN}")
    with ExitStack() as undo:
        server = _server(program, Path(mkdtemp(prefix="noetl-nats-")))
        undo.callback(server.child.remove)
        server.start()
        yield server


def _server(program: str, directory: Path) -> Server:
    port, password = free_port(), token_hex(12)
    settings = directory / "nats.conf"
    settings.write_text(
        f'listen: "{HOST}:{port}"\n'
        f'jetstream {{store_dir: "{directory}"}}\n'
        f'authorization {{user: {USER}, password: "{password}"}}\n'
    )
    child = Child(
        name="NATS",
        command=[program, "--config", str(settings)],
        directory=directory,
        ready=lambda: answers(f"{HOST}:{port}"),
    )
    version = subprocess.check_output([program, "--version"], text=True).strip()
    return Server(version=version, port=port, password=password, child=child)
