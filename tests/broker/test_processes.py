"""The broker as a process: started, stopped, orphaned, and killed in the middle of its work."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from noetl_stream.broker.launch import start_broker
from noetl_stream.errors import InfrastructureError
from tests.broker.writers import Writer, numbers_read

pytestmark = pytest.mark.slow

_KILLS = 20


@pytest.mark.alone
def test_a_broker_starts_answers_and_stops_in_order(tmp_path: Path) -> None:
    broker = start_broker(tmp_path)
    host, port = broker.bootstrap.split(":")
    socket.create_connection((host, int(port))).close()

    began = time.monotonic()
    assert broker.stop() == 0
    assert time.monotonic() - began < 1.0
    assert not (tmp_path / "broker.json").exists()


def test_why_a_broker_cannot_start_is_told_to_its_parent(tmp_path: Path) -> None:
    broker = start_broker(tmp_path)
    try:
        with pytest.raises(InfrastructureError, match=f"another broker uses .*process {broker.pid}"):
            start_broker(tmp_path)
    finally:
        broker.stop()


def test_a_broker_dies_with_its_parent(tmp_path: Path) -> None:
    """Even when the parent is killed and can do nothing about it."""
    script = (
        "import sys, pathlib; from noetl_stream.broker.launch import start_broker; "
        f"print(start_broker(pathlib.Path({str(tmp_path)!r})).pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdin is not None
    assert parent.stdout is not None
    broker = os.pidfd_open(int(parent.stdout.readline()))

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    ended, _, _ = select.select([broker], [], [], 5.0)
    assert ended
    for stream in (parent.stdin, parent.stdout):
        stream.close()
    os.close(broker)


@pytest.mark.timeout(180)
async def test_no_acknowledged_record_is_lost_or_doubled_over_kills(tmp_path: Path) -> None:
    """Twenty times the broker is killed amid idempotent writes, and the producers go on where they were."""
    broker = start_broker(tmp_path)
    port = int(broker.bootstrap.rsplit(":")[1])
    writers = [Writer(broker.bootstrap, topic=f"t{i}") for i in range(3)]
    writing = [asyncio.create_task(writer.run()) for writer in writers]
    for kill in range(1, _KILLS + 1):
        await asyncio.gather(*(writer.has_acknowledged(50 * kill) for writer in writers))
        await asyncio.to_thread(broker.kill)  # while the loop goes on sending
        broker = await asyncio.to_thread(start_broker, tmp_path, port=port)
    await asyncio.gather(*(writer.has_acknowledged(50 * _KILLS + 200) for writer in writers))
    for writer in writers:
        writer.stopped = True
    await asyncio.gather(*writing)

    for writer in writers:
        numbers = await numbers_read(broker.bootstrap, writer.topic)
        assert numbers == sorted(set(numbers))
        assert writer.acknowledged <= set(numbers)
    broker.stop()
