"""The duckdb tool: SQL over the inputs, in a database that lives as long as its task, or in a file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any, ClassVar

import duckdb
from pydantic import BaseModel, Field

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config
from noetl_stream.tools.script import FetchText, Script, script_text
from noetl_stream.tools.sql import Parameters, Statement, sql_result
from noetl_stream.tools.tables import table_of

IN_MEMORY = ":memory:"
_INTERRUPT_AGAIN = 0.01
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
        text = await _text(call.config, self._fetch)
        session = _Session(call.config, call.input, self._settings)
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


class _Session:
    """One task's connection, used by one thread; the event loop only interrupts it."""

    def __init__(
        self, config: DuckdbConfig, inputs: Mapping[str, Value], settings: Mapping[str, str]
    ) -> None:
        self._config, self._inputs, self._settings = config, inputs, settings
        self._stop = threading.Event()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._place = ""

    def run(self, text: str) -> dict[str, Any]:
        try:
            return self._run(text)
        except duckdb.Error as error:
            raise _failed(error, self._place) from error

    async def stopped(self, answer: asyncio.Future[dict[str, Any]]) -> None:
        """Return once the thread has left. An interrupt between two statements is lost, hence again and again."""
        self._stop.set()
        while not answer.done():
            if self._connection is not None:
                with suppress(duckdb.ConnectionException):  # the thread has just closed it
                    self._connection.interrupt()
            await asyncio.wait([answer], timeout=_INTERRUPT_AGAIN)
        if not answer.cancelled():
            answer.exception()

    def _run(self, text: str) -> dict[str, Any]:
        statements = duckdb.extract_statements(text)
        if not statements:
            raise ToolError("no sql command provided", kind="validation")
        parameters = Parameters(self._config.params)
        values = [parameters.of(statement.named_parameters) for statement in statements]
        parameters.check_spent()
        with duckdb.connect(self._config.database, config=dict(self._settings)) as connection:
            self._connection = connection
            self._prepare(connection)
            return sql_result([self._execute(connection, *each) for each in zip(count(), statements, values)])

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        # Reads of URLs would pass by the guard of the http tool.
        connection.execute("SET disabled_filesystems = 'HTTPFileSystem'")
        for name, value in self._inputs.items():
            if (table := table_of(name, value)) is not None:
                connection.register(name, table)

    def _execute(
        self, connection: duckdb.DuckDBPyConnection, number: int, statement: Any, values: Any
    ) -> Statement:
        self._place = f"command_{number}: "
        if self._stop.is_set():
            raise duckdb.InterruptException("stopped")
        relation = connection.sql(statement, params=values)
        kinds = statement.expected_result_type
        if relation is None or kinds == [duckdb.ExpectedResultType.NOTHING]:
            return Statement(affected=0)
        table = relation.to_arrow_table()
        if duckdb.ExpectedResultType.CHANGED_ROWS in kinds and table.column_names == ["Count"]:
            return Statement(affected=table["Count"][0].as_py() if len(table) else 0)
        return Statement(table=table)


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


def _failed(error: duckdb.Error, place: str) -> ToolError:
    transient = isinstance(error, duckdb.TransactionException)
    return ToolError(f"{place}{error}".strip(), kind="sql", code=type(error).__name__, retryable=transient)
