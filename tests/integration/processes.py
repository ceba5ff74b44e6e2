"""Roles in processes of their own, started by the command line, to be killed at any moment of the log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from noetl_stream.settings import Settings

COMMAND = Path(sys.executable).with_name("noetl-stream")
"""The command line of this environment."""
START = 30.0
"""Seconds a role may take until it says that it is ready."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Starts roles of one installation; what still runs at the end is killed."""

    command: Path
    settings: Settings
    logs: Path
    stack: AsyncExitStack

    async def start(self, role: str, *options: str) -> Process:
        """A role that is ready."""
        process = await self.begin(role, *options)
        assert process.stdout is not None
        async with asyncio.timeout(START):
            line = await process.stdout.readline()
        assert line, f"{role} did not start; read {self.logs}"
        assert json.loads(line)["ready"] == role
        return process

    async def begin(self, role: str, *options: str) -> Process:
        """A role that is on its way."""
        where = ("--bootstrap", self.settings.bootstrap, "--data", str(self.settings.data))
        with (self.logs / f"{role}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                self.command,
                *(role, *where, "--json", *options),
                env=os.environ | self._environment(),
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.stack.push_async_callback(kill, process)
        return process

    def _environment(self) -> dict[str, str]:
        chosen = {
            "PREFIX": self.settings.prefix,
            "PARTITIONS": str(self.settings.partitions),
            "POOLS": ",".join(self.settings.pools),
            "SLOTS": str(self.settings.slots),
            "ALLOW_PRIVATE": str(self.settings.allow_private).lower(),
            "REPLY_TOPICS": ",".join(self.settings.reply_topics),
            "KUBERNETES": self.settings.kubernetes,
            "CONTAINER_ENGINE": self.settings.container_engine,
            "KUBERNETES_NAMESPACES": ",".join(self.settings.kubernetes_namespaces),
            "CACHE": self.settings.cache,
            "CACHE_OPTIONS": ",".join(self.settings.cache_options),
        }
        return {f"NOETL_STREAM_{name}": value for name, value in chosen.items()}


@asynccontextmanager
async def roles(command: Path, settings: Settings) -> AsyncIterator[Roles]:
    settings.data.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        yield Roles(command=command, settings=settings, logs=settings.data, stack=stack)


async def kill(process: Process) -> None:
    """As a crash would: at once, and the warm children of a worker with it or soon after."""
    await end(process, signal.SIGKILL)


async def end(process: Process, how: signal.Signals) -> None:
    """By this signal, and wait until it is gone."""
    if process.returncode is None:
        process.send_signal(how)
    async with asyncio.timeout(START):
        await process.wait()
    # The transport of the pipe closes with the loop's next turns.
    if process.stdout is not None:
        await process.stdout.read()
