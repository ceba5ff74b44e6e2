"""The sqlite tool: SQL in a file, or in a database that lives as long as its task."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.script import Scripts
from noetl_stream.tools.sql_config import SqlConfig, sql_text
from noetl_stream.tools.task_threads import TaskThreads


class Sqlite:
    """`kind: sqlite`."""

    kind: ClassVar[str] = "sqlite"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = SqlConfig

    def __init__(self, scripts: Scripts, *, threads: int = 4, patience: float = 5.0) -> None:
        """`threads` bounds the tasks at once; `patience` is how long, in seconds, one waits for another's lock."""
        self._scripts, self._patience = scripts, patience
        self._threads = TaskThreads(self.kind, threads)

    async def run(self, call: Call) -> Done:
        # Arrow is loaded by the first task, not to know what tools there are.
        from noetl_stream.tools.sqlite_session import SqliteSession

        text = await sql_text(call.config, self._scripts, call)
        session = SqliteSession(call.config, self._patience, call.effect_key if call.once else None)
        return Done(value=await self._threads.run(session, text, call.timeout))

    async def close(self) -> None:
        self._threads.close()
