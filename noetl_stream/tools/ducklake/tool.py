"""The ducklake tool: SQL over tables whose rows are Parquet files and whose catalog is a database."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from pydantic import BaseModel

from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.duckdb import SETTINGS
from noetl_stream.tools.ducklake.config import DucklakeConfig
from noetl_stream.tools.script import Scripts
from noetl_stream.tools.sql_config import sql_text
from noetl_stream.tools.task_threads import TaskThreads


class Ducklake:
    """`kind: ducklake`."""

    kind: ClassVar[str] = "ducklake"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = DucklakeConfig

    def __init__(
        self,
        scripts: Scripts,
        *,
        threads: int = 4,
        settings: Mapping[str, str] | None = None,
        allow_private: bool = False,
    ) -> None:
        """`threads` bounds the tasks at once; `settings` are duckdb's own; `allow_private` lets a document name a private host."""
        self._scripts, self._settings, self._allow_private = (
            scripts,
            {**SETTINGS, **(settings or {})},
            allow_private,
        )
        self._threads = TaskThreads(self.kind, threads)

    async def run(self, call: Call) -> Done:
        # duckdb and Arrow are loaded by the first task, not to know what tools there are.
        from noetl_stream.tools.duckdb_session import DuckdbSession
        from noetl_stream.tools.ducklake.catalog import catalog_of

        catalog = await catalog_of(call, allow_private=self._allow_private)
        text = await sql_text(call.config, self._scripts, call)
        attach = partial(catalog.attach, config=call.config)
        session = DuckdbSession(call.config, call.input, self._settings, attach=attach)
        return Done(value=await self._threads.run(session, text, call.timeout))

    async def close(self) -> None:
        self._threads.close()
