"""What the shell and script tools share: a folder, an environment, an end on time, and the shape of the result."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done
from noetl_stream.tools.command import Command, Ended, Limits, run_command
from noetl_stream.tools.config import Config
from noetl_stream.tools.processes import bare_environment, how_ended
from noetl_stream.tools.running_time import running_time


class ProcessConfig(Config):
    """Where and how a command runs."""

    env: dict[str, Any] = Field(
        default_factory=dict,
        description="its environment, beside the inputs: text as it is, anything else as JSON",
    )
    cwd: str | None = Field(None, description="where it works; by default a fresh folder, removed afterwards")
    stdin: str = Field("", description="what it reads")
    limits: Limits = Field(
        default_factory=Limits,
        description="processor time, address space, and how much of each output is kept: 1 MiB by default",
    )


async def run_in_folder(
    call: Call, kind: str, words: Callable[[Path], list[str]], scratch: Path | None
) -> Done:
    """Run the command whose words `words` makes, given its folder for temporary files, which is made in `scratch`.

    Raises:
        ToolError: it failed (its outputs are the error's value), or its time is over.
    """
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="noetl-", dir=scratch))
    try:
        command = _command(call, folder, words(folder))
        async with running_time(kind, call.timeout):
            ended = await run_command(command)
        return _done(kind, ended)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _command(call: Call, folder: Path, words: list[str]) -> Command:
    config: ProcessConfig = call.config
    return Command(
        argv=words,
        folder=folder if config.cwd is None else Path(config.cwd),
        environment={**_spelled(call.input), **bare_environment(folder), **_spelled(config.env)},
        stdin=config.stdin.encode(),
        limits=config.limits,
    )


def _spelled(values: Mapping[str, Value]) -> dict[str, str]:
    """Values as an environment: text as it is, anything else as JSON; nulls and tables are left out."""
    found = {
        name: value for name, value in values.items() if value is not None and not hasattr(value, "arrow")
    }
    return {
        name: value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
        for name, value in found.items()
    }


def _done(kind: str, ended: Ended) -> Done:
    value = {
        "exit_code": ended.status,
        "stdout": ended.stdout,
        "stderr": ended.stderr,
        "truncated": ended.truncated,
    }
    if ended.status == 0:
        return Done(value=value)
    last = (ended.stderr.strip() or ended.stdout.strip()).rpartition("\n")[2]
    raise ToolError(
        f"the {kind} task ended with {how_ended(ended.status)}{f': {last}' if last else ''}; see its `stderr`",
        kind="client_error",
        code=str(ended.status),
        value=value,
    )
