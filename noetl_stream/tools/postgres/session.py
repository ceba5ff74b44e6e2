"""One postgres task on its connection: its statements in order, each one's rows read in chunks into text columns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import pyarrow as pa
from psycopg import generators
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.types.json import Jsonb
from psycopg.types.string import TextLoader

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools import inbox
from noetl_stream.tools.postgres.failing import statement_failed
from noetl_stream.tools.postgres.types import typed
from noetl_stream.tools.sql import Statement
from noetl_stream.tools.sql_text import SqlText, numbered

_CHUNK_ROWS: Final = 10_000
_ROWS: Final = (ExecStatus.TUPLES_CHUNK, ExecStatus.TUPLES_OK)
_COPY: Final = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)


class _AsText:
    """An adaptation context in which every value is read as the text that came."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap()
        self.adapters.register_loader(0, TextLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A statement in PostgreSQL's own spelling, and the values of its `$1`, `$2`, …"""

    statement: SqlText
    values: Sequence[Value]


class Session:
    """The connection of one task. `most_bytes` bounds what one result set may hold, as text."""

    def __init__(self, connection: psycopg.AsyncConnection, most_bytes: int) -> None:
        self._connection, self._most = connection, most_bytes

    async def run_all(self, found: Sequence[Bound], *, transaction: bool) -> list[Statement]:
        """What each did.

        Raises:
            ToolError: one failed, or left a transaction open.
        """
        if transaction:
            await self._command("BEGIN")
        done = await self._each(found)
        if transaction:
            await self._command("COMMIT")
        if self._connection.info.transaction_status != TransactionStatus.IDLE:
            raise ToolError(
                "the statements leave a transaction open, which is rolled back; end it with COMMIT, or say `transaction: true`",
                kind="sql",
            )
        return done

    async def run_once(self, found: Sequence[Bound], key: str) -> list[Statement]:
        """What each did, now or when somebody came with this key before. Raises ToolError."""
        inbox.check_whole(each.statement.text for each in found)
        await self._prepare_inbox()
        await self._command("BEGIN")
        if (await self._inbox(inbox.CLAIM, key, inbox.moment())).affected == 0:
            stored = await self._inbox(inbox.LOOK, key)
            done = inbox.unpacked(stored.shape()["rows"]["result"][0].as_py())
        else:
            done = await self._each(found)
            await self._inbox(inbox.KEEP, inbox.packed(done), key)
        await self._command("COMMIT")
        return done

    async def _prepare_inbox(self) -> None:
        """The table is there, perhaps since an administrator made it. Two who make it at once may collide."""
        if await self._has_inbox():
            return
        try:
            await self._inbox(inbox.CREATE)
        except ToolError:
            if not await self._has_inbox():
                raise

    async def _has_inbox(self) -> bool:
        found = await self._inbox("SELECT to_regclass('noetl_inbox') IS NOT NULL AS there")
        return bool(found.shape()["rows"]["there"][0].as_py())

    async def _inbox(self, text: str, *values: str) -> Statement:
        return await self.run(Bound(statement=numbered(text, marks=True), values=values), "noetl_inbox: ")

    async def run(self, bound: Bound, place: str) -> Statement:
        """What one statement did. Raises ToolError."""
        try:
            return await self._run(bound, place)
        except psycopg.Error as error:
            raise statement_failed(error, place, bound.statement.text) from error

    async def _each(self, found: Sequence[Bound]) -> list[Statement]:
        return [await self.run(each, f"command_{number}: ") for number, each in enumerate(found)]

    async def _command(self, text: str) -> None:
        await self.run(Bound(statement=SqlText(text=text), values=()), f"{text}: ")

    async def _run(self, bound: Bound, place: str) -> Statement:
        """Read to the end also when the server refuses it: only then does the connection take another."""
        self._send(bound)
        rows, last, refused = _Rows(place, self._most), None, None
        while (result := await self._next()) is not None:
            last = result
            if result.status in _ROWS:
                rows.add(result)
            elif result.status in _COPY:
                raise _no_other_end(place)
            elif result.status != ExecStatus.COMMAND_OK:
                refused = error_from_result(result, encoding="utf-8")
        if refused is not None:
            raise refused
        if last is None or last.status not in _ROWS:
            return Statement(affected=(last and last.command_tuples) or 0)
        return Statement(table=await asyncio.to_thread(rows.table, last))

    async def _next(self) -> PGresult | None:
        """What the server says next. A statement is cancelled there with its task."""
        cancel = self._connection.pgconn.get_cancel()
        try:
            return await self._connection.wait(generators.fetch(self._connection.pgconn))
        except asyncio.CancelledError:
            if self._connection.closed:
                # The driver's own request met the server between two messages, where it is dropped.
                await asyncio.to_thread(cancel.cancel)
            raise

    def _send(self, bound: Bound) -> None:
        dumping = Transformer(self._connection)
        values = [_bindable(each) for each in bound.values]
        dumped = dumping.dump_sequence(values, [PyFormat.AUTO] * len(values))
        pgconn = self._connection.pgconn
        pgconn.send_query_params(
            bound.statement.text.encode(), dumped, param_types=dumping.types, param_formats=dumping.formats
        )
        pgconn.set_chunked_rows_mode(_CHUNK_ROWS)


class _Rows:
    """The rows of one result set, gathered as columns of text."""

    def __init__(self, place: str, most_bytes: int) -> None:
        self._place, self._most, self._bytes = place, most_bytes, 0
        self._chunks: list[list[pa.Array]] = []

    def add(self, result: PGresult) -> None:
        reading = Transformer(_AS_TEXT)
        reading.set_pgresult(result)
        rows = reading.load_rows(0, result.ntuples, tuple)
        columns = [pa.array(each, pa.string()) for each in zip(*rows, strict=True)]
        self._bytes += sum(each.nbytes for each in columns)
        if self._bytes > self._most:
            raise ToolError(
                f"{self._place}the result is larger than {self._most:,} bytes; select less, or move it with a `transfer` task",
                kind="sql",
                code="too_large",
            )
        if columns:
            self._chunks.append(columns)

    def table(self, described: PGresult) -> pa.Table:
        """All rows, each column in the type that the server tells of it."""
        numbers = range(described.nfields)
        names = [(described.fname(number) or b"").decode() for number in numbers]
        columns = [
            typed(
                pa.chunked_array([chunk[number] for chunk in self._chunks], pa.string()),
                described.ftype(number),
                described.fmod(number),
            )
            for number in numbers
        ]
        return pa.Table.from_arrays(columns, names=names)


def _bindable(value: Value) -> Any:
    """A mapping, and a list with one in it, is JSON; any other list is an array."""
    nested = isinstance(value, list) and any(isinstance(each, dict) for each in value)
    return Jsonb(value) if nested or isinstance(value, dict) else value


def _no_other_end(place: str) -> ToolError:
    return ToolError(
        f"{place}COPY from STDIN or to STDOUT has no other end here; let a query read the input by its name, "
        "or use a `transfer` task",
        kind="sql",
        code="copy",
    )


_AS_TEXT: Final = _AsText()
