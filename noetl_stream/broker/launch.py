"""Starts a broker in a process of its own, and ends it with its parent."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from noetl_stream.broker.settings import CLEANING_INTERVAL
from noetl_stream.commitlog.fsync import FsyncPolicy
from noetl_stream.errors import InfrastructureError

_LOG = "broker.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerHandle:
    """A running broker process. It stops by itself when this process ends in any way."""

    bootstrap: str
    pid: int
    _process: subprocess.Popen[bytes]

    async def ended(self) -> int:
        """Wait until it ends without being told to here; its exit code, or the signal's number below zero."""
        assert self._process.stdout is not None
        loop, output = asyncio.get_running_loop(), self._process.stdout.fileno()
        gone: asyncio.Future[None] = loop.create_future()
        # After its first line it says nothing more: its output becomes readable when the kernel closes it.
        loop.add_reader(output, _once, gone)
        try:
            await gone
        finally:
            loop.remove_reader(output)
        return await asyncio.to_thread(self._process.wait)

    def stop(self, timeout: float = 5.0) -> int:
        """End it in order, its logs synced; the exit code.

        Raises:
            InfrastructureError: it had to be killed, since it did not end in `timeout` seconds.
        """
        self._process.terminate()
        try:
            return self._wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise InfrastructureError(
                f"the broker (process {self.pid}) did not stop in {timeout:g} s and was killed; read its {_LOG}"
            ) from None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._wait(None)

    def _wait(self, timeout: float | None) -> int:
        code = self._process.wait(timeout)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code


def _once(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def start_broker(
    data: Path,
    *,
    port: int = 0,
    fsync: FsyncPolicy = "commit",
    cleaning_interval: float = CLEANING_INTERVAL,
    timeout: float = 10.0,
) -> BrokerHandle:
    """Start a broker on `data` and return once it answers. Its messages go to `broker.log` there.

    `cleaning_interval` and `timeout` are in seconds.

    Raises:
        InfrastructureError: it said why it cannot start, or was not ready within `timeout` seconds.
    """
    data.mkdir(parents=True, exist_ok=True)
    with (data / _LOG).open("ab") as log:
        process = subprocess.Popen(
            _command(data, port, fsync, cleaning_interval),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # A terminal's Ctrl-C is for the parent, which then stops its broker in order.
            start_new_session=True,
        )
    answer = _first_line(process, timeout)
    if "bootstrap" in answer:
        return BrokerHandle(bootstrap=answer["bootstrap"], pid=process.pid, _process=process)
    process.kill()
    BrokerHandle(bootstrap="", pid=process.pid, _process=process)._wait(None)
    raise InfrastructureError(
        answer.get("error") or f"the broker was not ready in {timeout:g} s; read {data / _LOG}"
    )


def allow_many_files() -> None:
    """For a process that is nothing but a broker: every partition holds files open, so take what the system grants."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _command(data: Path, port: int, fsync: FsyncPolicy, cleaning_interval: float) -> list[str]:
    module = [sys.executable, "-m", "noetl_stream.broker", "--until-stdin-closes"]
    place = ["--data", str(data), "--port", str(port)]
    return [*module, *place, "--fsync", fsync, "--cleaning-interval", str(cleaning_interval)]


def _first_line(process: subprocess.Popen[bytes], timeout: float) -> dict[str, str]:
    """The child's first line, or nothing if it ended or the time ran out before."""
    assert process.stdout is not None
    deadline, line = time.monotonic() + timeout, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not chunk:
            return {}
        line += chunk
    answer: dict[str, str] = json.loads(line)
    return answer
