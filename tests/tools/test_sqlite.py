"""The sqlite tool: the shapes and rules of every SQL kind, and what is sqlite's own."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.tools.sqlite import Sqlite
from tests.contract.once import OnceContract
from tests.contract.sql import SqlContract, rows
from tests.tools.conftest import Run, runner, unreachable


@pytest.fixture
async def tool() -> AsyncIterator[Sqlite]:
    tool = Sqlite(unreachable, patience=0.1)
    yield tool
    await tool.close()


@pytest.fixture
def run(tool: Sqlite) -> Run:
    return runner(tool)


@pytest.fixture
def once(run: Run, tmp_path: Path) -> Run:
    async def once(config: Mapping[str, Any], /, **fields: Any) -> Any:
        kept = {"database": str(tmp_path / "kept.db")}
        return await run({**kept, **config}, **{"once": True, "effect_key": "k1", **fields})

    return once


class TestSqliteOnce(OnceContract):
    """`effects: exactly_once`."""

    large = "replace(hex(zeroblob(8500000)), '00', 'xx')"

    async def test_a_database_in_memory_is_refused(self, once: Run) -> None:
        with pytest.raises(ToolError, match="a database in memory is gone with its task"):
            await once({"query": "SELECT 1", "database": ":memory:"})


class TestSqlite(SqlContract):
    """The shapes and rules of every SQL kind."""

    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
    twice = r"UNIQUE constraint failed: t.n$"
    twice_code = "SQLITE_CONSTRAINT_UNIQUE"


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
