"""Servers that tests start as child processes, each on a folder of its own; they end with the process that started
them, however it ends."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pwd import struct_passwd
from signal import SIGKILL, Signals

HOST = "127.0.0.1"

# `read` returns when the pipe's other end closes, however its owner ended. A dying child may still add a file.
_GUARD = 'read _; kill -9 "$0"; for _ in 1 2 3; do rm -rf "$1" && break; sleep 1; done'

# No system gives these to a connection by itself: nobody takes one between its choice and its use.
_PORTS = range(10_000, 32_000)


class ServerMissing(Exception):
    """This machine does not have what a server needs; the message says what."""


class ChildFailed(Exception):
    """A child did not start; the message ends with the end of its log."""


@dataclass(slots=True, kw_only=True)
class Child:
    """A server that keeps its files in `directory`, and the process that runs on it while it is up.

    `ready` tells whether it serves; `killing` ends it at once, its own children with it; `account` is whom it runs as,
    by default whoever runs the tests.
    """

    name: str
    command: Sequence[str]
    directory: Path
    ready: Callable[[], bool]
    killing: Signals = SIGKILL
    account: struct_passwd | None = None
    _running: tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Run on what the folder holds."""
        assert self._running is None, f"{self.name} runs already"
        with (self.directory / "child.log").open("ab") as log:
            process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.directory,
                start_new_session=True,
                user=self.account and self.account.pw_uid,
                group=self.account and self.account.pw_gid,
                extra_groups=[] if self.account else None,
            )
        self._running = process, guard(process, self.directory)

    def wait_until_ready(self, within: float = 60.0) -> None:
        """Return once it serves.

        Raises:
            ChildFailed: it ended, or `within` seconds passed; it is then removed.
        """
        assert self._running is not None, f"{self.name} was not started"
        deadline = time.monotonic() + within
        while not self.ready():
            if _ended(self._running[0], within=0.05) or time.monotonic() > deadline:
                log = (self.directory / "child.log").read_text(errors="replace")[-2000:]
                self.remove()
                raise ChildFailed(f"{self.name} was not ready in {within:g} s: {log}")

    @property
    def pid(self) -> int:
        """Its process, while it is up."""
        assert self._running is not None, f"{self.name} is down"
        return self._running[0].pid

    def signal(self, number: Signals) -> None:
        """SIGSTOP leaves it connected and silent, until SIGCONT."""
        assert self._running is not None, f"{self.name} is down"
        self._running[0].send_signal(number)

    def kill(self) -> None:
        """End the process at once; what it wrote stays for the next start."""
        self.stop(self.killing)

    def stop(self, number: Signals, within: float = 30.0) -> None:
        """End the process by a signal.

        Raises:
            subprocess.TimeoutExpired: it lives on.
        """
        if self._running is not None:
            process, guarding = self._running
            process.send_signal(number)
            process.wait(within)
            guarding.kill()
            guarding.communicate()
            self._running = None

    def remove(self) -> None:
        """End it at once, and remove its folder."""
        self.kill()
        if self.directory.exists():
            shutil.rmtree(self.directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginServer:
    """A server that lets in one user, who must show a password; it may be killed and started again."""

    version: str
    port: int
    password: str
    child: Child

    def start(self) -> None:
        """Run on what is there, and return once it answers."""
        self.child.start()
        self.child.wait_until_ready()

    def kill(self) -> None:
        """End all its processes at once, between any two instructions. What it acknowledged is kept."""
        self.child.kill()


def guard(process: subprocess.Popen[bytes], directory: Path) -> subprocess.Popen[bytes]:
    """A shell that kills `process` and removes `directory` once this process is gone."""
    command = ["sh", "-c", _GUARD, str(process.pid), str(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def free_port() -> int:
    """A port on this machine that nothing listens on now."""
    while True:
        port = random.choice(_PORTS)
        try:
            socket.create_server((HOST, port)).close()
        except OSError:
            continue
        return port


def answers(address: str) -> bool:
    """Whether something accepts a connection at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def _ended(process: subprocess.Popen[bytes], *, within: float) -> bool:
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True
