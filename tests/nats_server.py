"""Runs a real NATS server with JetStream for the tests, in a folder of its own; it may be killed and started again."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

from tests.children import HOST, Child, ServerMissing, answers, free_port

USER = "tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A NATS server and its user, who must show a password."""

    version: str
    port: int
    password: str
    child: Child

    @property
    def url(self) -> str:
        """Its address, with the user's name and password."""
        return f"nats://{USER}:{self.password}@{HOST}:{self.port}"

    def start(self) -> None:
        """Run on what is there, and return once it answers."""
        self.child.start()
        self.child.wait_until_ready()

    def kill(self) -> None:
        """End it at once. What its streams acknowledged is kept."""
        self.child.kill()

    def stop(self) -> None:
        """End in order."""
        self.child.stop(signal.SIGTERM)

    def restart(self) -> None:
        """Stop and start, at the same address."""
        self.stop()
        self.start()


@contextmanager
def running() -> Iterator[Server]:
    """A fresh server that runs for the block; afterwards nothing of it is left.

    Raises:
        ServerMissing: it is not installed here.
        ChildFailed: it is, and yet it did not start.
    """
    # Debian installs it where a user's PATH does not lead.
    program = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise ServerMissing("no `nats-server` on the PATH or in /usr/sbin")
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
