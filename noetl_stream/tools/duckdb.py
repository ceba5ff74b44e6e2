"""The duckdb tool: SQL over the inputs, in a database that lives as long as its task, or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from pydantic import BaseModel, Field

from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.script import Scripts
from noetl_stream.tools.sql_config import SqlConfig, sql_text
from noetl_stream.tools.task_threads import TaskThreads

SETTINGS: Final = {"autoinstall_known_extensions": "false"}
"""Of every duckdb in a worker, as two connections to one file have to agree. A task shall not download code while it runs:
what it needs is installed beforehand."""


class DuckdbConfig(SqlConfig):
    gcs_credential: str | None = Field(
        None,
        description="the credential that `gs://` files are meant to be read with; they are not read in this version",
    )


class Duckdb:
    """`kind: duckdb`. It writes as far as anyone can tell: SQL may copy to files."""

    kind: ClassVar[str] = "duckdb"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = DuckdbConfig

    def __init__(
        self, scripts: Scripts, *, threads: int = 4, settings: Mapping[str, str] | None = None
    ) -> None:
        """`threads` bounds the tasks at once; `settings` are duckdb's own, `memory_limit` for one."""
        self._scripts, self._settings = scripts, {**SETTINGS, **(settings or {})}
        self._threads = TaskThreads(self.kind, threads)

    async def run(self, call: Call) -> Done:
        # duckdb and Arrow are loaded by the first task, not to know what tools there are.
        from noetl_stream.tools.duckdb_session import DuckdbSession

        text = await sql_text(call.config, self._scripts, call)
        once = call.effect_key if call.once else None
        session = DuckdbSession(call.config, call.input, self._settings, once)
        return Done(value=await self._threads.run(session, text, call.timeout))

    async def close(self) -> None:
        self._threads.close()
