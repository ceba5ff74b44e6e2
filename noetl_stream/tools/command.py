"""One command of a user's in a process group of its own: bounded, without our environment, gone when its time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from noetl_stream.errors import InfrastructureError, ToolError
from noetl_stream.tools.config import Config
from noetl_stream.tools.processes import kill_group

# `ulimit` in a shell that becomes the command: Python code between fork and exec would not be safe in a threaded process.
_BOUNDED = 'ulimit -c 0 && {limits} exec "$@"'

_HELD_OPEN = 1.0
"""Seconds that what escaped the group, and holds an output open, may hold us."""


class Limits(Config):
    """What a command may use."""

    cpu_seconds: int | None = Field(None, gt=0, description="processor time")
    memory_bytes: int | None = Field(None, ge=1 << 20, description="address space")
    output_bytes: int = Field(1 << 20, gt=0, description="kept of each of stdout and stderr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run, and where. `environment` is all of it."""

    argv: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    stdin: bytes
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it ended. `status` is negative for a signal; the outputs are cut at the bound, `truncated` says so."""

    status: int
    stdout: str
    stderr: str
    truncated: bool


class _Watch(asyncio.SubprocessProtocol):
    """Keeps the first bytes of each output, drops the rest, and knows the end of the process from that of its pipes."""

    def __init__(self, bound: int) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.kept = {1: bytearray(), 2: bytearray()}
        self.truncated = False
        self._bound = bound

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        kept = self.kept[fd]
        room = self._bound - len(kept)
        kept += data[:room]
        self.truncated = self.truncated or len(data) > room

    def process_exited(self) -> None:
        self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)


async def run_command(command: Command) -> Ended:
    """Run it to its end. When it ends, or is cancelled, all that is left of its group is killed.

    Raises:
        ToolError: it cannot be started.
        InfrastructureError: the system starts no process.
    """
    transport, watch = await _start(command)
    try:
        _feed(transport, command.stdin)
        await asyncio.shield(watch.exited)
    finally:
        await _ended(transport, watch)
    return Ended(
        status=transport.get_returncode() or 0,
        stdout=watch.kept[1].decode(errors="replace"),
        stderr=watch.kept[2].decode(errors="replace"),
        truncated=watch.truncated,
    )


async def _ended(transport: asyncio.SubprocessTransport, watch: _Watch) -> None:
    """Kill what is left of the group and let go of it: at once, where a second cancellation does not let us wait."""
    try:
        kill_group(transport.get_pid())
        await asyncio.wait([watch.exited])
        await asyncio.wait([watch.closed], timeout=_HELD_OPEN)
    finally:
        transport.close()


async def _start(command: Command) -> tuple[asyncio.SubprocessTransport, _Watch]:
    """Start it whole: asyncio loses the pipes of a process whose start is cancelled while they are being connected."""
    starting = asyncio.ensure_future(_started(command))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_abandon)
        raise


def _abandon(starting: asyncio.Future[tuple[asyncio.SubprocessTransport, _Watch]]) -> None:
    """Nobody waits any more for what has just been started."""
    if starting.cancelled() or starting.exception() is not None:
        return
    transport, _ = starting.result()
    kill_group(transport.get_pid())
    transport.close()


async def _started(command: Command) -> tuple[asyncio.SubprocessTransport, _Watch]:
    shell = ("/bin/sh", "-c", _BOUNDED.format(limits=_ulimits(command.limits)), "sh")
    try:
        return await asyncio.get_running_loop().subprocess_exec(
            lambda: _Watch(command.limits.output_bytes),
            *(*shell, *command.argv),
            cwd=command.folder,
            env=dict(command.environment),
            start_new_session=True,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise ToolError(
            f"the folder '{command.folder}' cannot be worked in ({error}); check `cwd`", kind="validation"
        ) from error
    except ValueError as error:
        raise ToolError(f"the command cannot be started ({error}); check it", kind="validation") from error
    except OSError as error:
        raise InfrastructureError(
            f"no process could be started ({error}); check limits and memory"
        ) from error


def _ulimits(limits: Limits) -> str:
    bounds = []
    if limits.cpu_seconds is not None:
        bounds.append(f"ulimit -t {limits.cpu_seconds} &&")
    if limits.memory_bytes is not None:
        bounds.append(f"ulimit -v {limits.memory_bytes >> 10} &&")
    return " ".join(bounds)


def _feed(transport: asyncio.SubprocessTransport, text: bytes) -> None:
    pipe = transport.get_pipe_transport(0)
    assert isinstance(pipe, asyncio.WriteTransport)
    pipe.write(text)
    pipe.close()
