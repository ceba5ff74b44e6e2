"""The sqlite tool: the shapes and rules of every SQL kind, and what is sqlite's own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from noetl_stream.errors import ToolError
from noetl_stream.tools.sqlite import Sqlite
from tests.tools.conftest import Run, call, runner, unreachable


@pytest.fixture
async def tool() -> AsyncIterator[Sqlite]:
    tool = Sqlite(unreachable, patience=0.1)
    yield tool
    await tool.close()


@pytest.fixture
def run(tool: Sqlite) -> Run:
    return runner(tool)


def rows(shape: dict[str, Any]) -> list[dict[str, Any]]:
    table = shape["rows"]
    assert isinstance(table, pa.Table)
    listed: list[dict[str, Any]] = table.to_pylist()
    return listed


async def test_every_statement_has_its_result_and_the_last_result_set_stands_on_top(run: Run) -> None:
    script = """
        CREATE TABLE t (n INT); -- a comment; it is no statement
        INSERT INTO t VALUES (1), (2), (3);
        SELECT sum(n) AS total FROM t;
        SELECT n FROM t WHERE n > 9;
        UPDATE t SET n = n + 1 WHERE n > 1;
    """

    result = await run({"query": script})

    assert list(result) == [*(f"command_{n}" for n in range(5)), "rows", "columns", "row_count"]
    assert result["command_0"] == {"rows": [], "columns": [], "row_count": 0}
    assert result["command_1"]["row_count"] == 3
    assert rows(result["command_2"]) == [{"total": 6}]
    assert (rows(result), result["columns"], result["row_count"]) == ([], ["n"], 0)
    assert result["command_4"]["row_count"] == 2


async def test_without_a_result_set_the_last_statements_count_stands_on_top(run: Run) -> None:
    result = await run({"commands": ["CREATE TABLE t (n INT) -- no end", "INSERT INTO t VALUES (1), (2)"]})

    assert (result["rows"], result["columns"], result["row_count"]) == ([], [], 2)


async def test_a_trigger_is_one_statement(run: Run) -> None:
    text = (
        "CREATE TABLE t (n INT); CREATE TABLE seen (n INT);"
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO seen VALUES (new.n); DELETE FROM t; END;"
        "INSERT INTO t VALUES (7) RETURNING n; SELECT (SELECT count(*) FROM t) AS t, n FROM seen"
    )

    result = await run({"query": text})

    assert (rows(result["command_3"]), rows(result)) == ([{"n": 7}], [{"t": 0, "n": 7}])


async def test_values_are_bound_and_never_formatted(run: Run) -> None:
    named = {"query": "SELECT :low AS a; SELECT $high AS b", "params": {"low": 1, "high": "x'; DROP TABLE t"}}
    listed = [True, None, 1.5, Decimal("0.10"), date(2024, 1, 2), {"a": [1]}, b"\x00"]
    query = "SELECT ? AS a; SELECT ? AS b, ? AS c, ? AS d, ? AS e, ? AS f, ? AS g, '50%' AS h"

    assert rows(await run(named)) == [{"b": "x'; DROP TABLE t"}]
    assert rows(await run({"query": query, "params": listed})) == [
        {
            "b": None,
            "c": 1.5,
            "d": "0.10",
            "e": "2024-01-02",
            "f": '{"a":[1]}',
            "g": b"\x00",
            "h": "50%",
        }
    ]


async def test_a_column_has_one_type(run: Run) -> None:
    query = "SELECT 1 AS n, 1 AS f, 1 AS mixed, 9007199254740993 AS wide, NULL AS none UNION ALL SELECT 2, 2.5, 'x', 0.5, NULL"

    assert rows(await run({"query": query})) == [
        {"n": 1, "f": 1.0, "mixed": "1", "wide": "9007199254740993", "none": None},
        {"n": 2, "f": 2.5, "mixed": "x", "wide": "0.5", "none": None},
    ]


async def test_statements_commit_one_by_one_unless_they_are_a_transaction(run: Run, tmp_path: Path) -> None:
    database = {"database": str(tmp_path / "kept.db")}
    await run({"query": "CREATE TABLE t (n INT UNIQUE)", **database})
    twice = {"query": "INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)", **database}

    with pytest.raises(ToolError, match=r"^command_1: UNIQUE constraint failed: t.n$") as failed:
        await run({**twice, "transaction": True})
    assert (failed.value.kind, failed.value.code, failed.value.retryable) == (
        "sql",
        "SQLITE_CONSTRAINT_UNIQUE",
        False,
    )
    assert rows(await run({"query": "SELECT n FROM t", **database})) == []

    with pytest.raises(ToolError):
        await run(twice)
    assert rows(await run({"query": "SELECT n FROM t", **database})) == [{"n": 1}]


async def test_a_file_that_another_holds_may_be_tried_again(run: Run, tmp_path: Path) -> None:
    database = str(tmp_path / "kept.db")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (n INT)")
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(ToolError, match="database is locked") as busy:
            await run({"query": "INSERT INTO t VALUES (1)", "database": database})
        assert (busy.value.kind, busy.value.code, busy.value.retryable) == ("sql", "SQLITE_BUSY", True)

        other.execute("COMMIT")
        assert (await run({"query": "INSERT INTO t VALUES (1)", "database": database}))["row_count"] == 1


@pytest.mark.parametrize("config", [{}, {"query": ""}, {"script": "-- nothing\n"}, {"commands": []}])
async def test_no_statement_is_an_error(run: Run, config: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match=r"^no sql command provided$") as refused:
        await run(config)
    assert (refused.value.kind, refused.value.retryable) == ("validation", False)


ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"


async def test_a_query_without_end_is_stopped(run: Run) -> None:
    with pytest.raises(ToolError, match=r"the sqlite task ran longer than 0.1 s and was stopped") as stopped:
        await run({"query": ENDLESS}, timeout=0.1)

    assert (stopped.value.kind, stopped.value.retryable) == ("timeout", True)
    assert rows(await run({"query": "SELECT 1 AS n"})) == [{"n": 1}]


async def test_a_cancelled_query_leaves_its_thread(tool: Sqlite) -> None:
    """close() waits for the threads: it would hang if the query still ran."""
    running = asyncio.create_task(tool.run(call(tool, {"query": ENDLESS})))
    await asyncio.sleep(0)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
