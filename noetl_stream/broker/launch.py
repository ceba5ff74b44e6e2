"""Starts a broker in a process of its own, and ends it with its parent."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from noetl_stream.commitlog.fsync import FsyncPolicy
from noetl_stream.errors import InfrastructureError

_LOG = "broker.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerHandle:
    """A running broker process. It stops by itself when this process ends in any way."""

    bootstrap: str
    pid: int
    _process: subprocess.Popen[bytes]

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


def start_broker(
    data: Path, *, port: int = 0, fsync: FsyncPolicy = "commit", timeout: float = 10.0
) -> BrokerHandle:
    """Start a broker on `data` and return once it answers. Its messages go to `broker.log` there.

    Raises:
        InfrastructureError: it said why it cannot start, or was not ready within `timeout` seconds.
    """
    data.mkdir(parents=True, exist_ok=True)
    with (data / _LOG).open("ab") as log:
        process = subprocess.Popen(
            _command(data, port, fsync),
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


def _command(data: Path, port: int, fsync: FsyncPolicy) -> list[str]:
    module = [sys.executable, "-m", "noetl_stream.broker"]
    return [*module, "--data", str(data), "--port", str(port), "--fsync", fsync, "--until-stdin-closes"]


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
