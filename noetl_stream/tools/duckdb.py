"""The duckdb tool: SQL over the inputs, in a database that lives as long as its task, or in a file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config
from noetl_stream.tools.script import FetchText, Script, script_text

IN_MEMORY = ":memory:"
# A task shall not download code while it runs: what it needs is installed beforehand.
_SETTINGS = {"autoinstall_known_extensions": "false"}


class DuckdbConfig(Config):
    database: str = Field(
        IN_MEMORY, description="a file; by default a fresh database in memory for each task"
    )
    query: str | None = Field(None, description="SQL, one statement or several")
    command: str | None = Field(None, description="the same")
    commands: str | list[str] | None = Field(None, description="the same, or a list of it")
    script: str | Script | None = Field(
        None, description="the same, or SQL elsewhere: `{uri, source: {type, …}}`"
    )
    params: dict[str, Any] | list[Any] = Field(
        default_factory=list,
        description="bound to `$name`, or in order to `?`; never formatted into the text",
    )


class Duckdb:
    """`kind: duckdb`. It writes as far as anyone can tell: SQL may copy to files."""

    kind: ClassVar[str] = "duckdb"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = DuckdbConfig

    def __init__(
        self, fetch: FetchText, *, threads: int = 4, settings: Mapping[str, str] | None = None
    ) -> None:
        """`threads` bounds the tasks at once; `settings` are duckdb's own, `memory_limit` for one."""
        self._fetch, self._settings = fetch, {**_SETTINGS, **(settings or {})}
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="duckdb")

    async def run(self, call: Call) -> Done:
        # duckdb and Arrow are loaded by the first task, not to know what tools there are.
        from noetl_stream.tools.duckdb_session import Session

        text = await _text(call.config, self._fetch)
        session = Session(call.config, call.input, self._settings)
        running = self._threads.submit(session.run, text)
        answer = asyncio.wrap_future(running)
        try:
            async with asyncio.timeout(call.timeout):
                return Done(value=await asyncio.shield(answer))
        except TimeoutError:
            raise _timed_out(call.timeout) from None
        finally:
            running.cancel()
            await session.stopped(answer)

    async def close(self) -> None:
        self._threads.shutdown(wait=True)


async def _text(config: DuckdbConfig, fetch: FetchText) -> str:
    script = config.script
    parts = [config.query, config.command, *_listed(config.commands)]
    parts.append(await script_text(script, fetch) if isinstance(script, Script) else script)
    return ";\n".join(part for part in parts if part)


def _listed(commands: str | list[str] | None) -> list[str]:
    return [commands] if isinstance(commands, str) else commands or []


def _timed_out(timeout: float | None) -> ToolError:
    return ToolError(
        f"the duckdb task ran longer than {timeout:g} s and was stopped; raise its `timeout` or let it do less",
        kind="timeout",
        retryable=True,
    )
