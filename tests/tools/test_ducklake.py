"""The ducklake tool: lakes on files and on a real PostgreSQL, their past, and what is told of those that are not there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.ducklake.tool import Ducklake
from tests import postgres_server
from tests.children import HOST, free_port
from tests.contract.sql import rows
from tests.tools.conftest import Run, runner, unreachable

ENDLESS = "SELECT count(*) FROM range(10000000000) a, range(10000000000) b WHERE a.range % 7 = b.range % 5"


@pytest.fixture
async def tool() -> AsyncIterator[Ducklake]:
    tool = Ducklake(unreachable, threads=1)
    yield tool
    await tool.close()


@pytest.fixture(params=["duckdb", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, tool: Ducklake, tmp_path: Path) -> Run:
    """Runs on a lake of the test's own, whose catalog is a file of DuckDB's, of SQLite's, or PostgreSQL."""
    if request.param == "postgres":
        credentials = {"store": Secret("store", request.getfixturevalue("database"))}
        return _on(runner(tool, credentials=credentials), {"data_path": str(tmp_path / "rows")})
    scheme = "sqlite:" if request.param == "sqlite" else ""
    place = {
        "catalog_connection": f"{scheme}{tmp_path / 'lake.catalog'}",
        "data_path": str(tmp_path / "rows"),
    }
    return _on(runner(tool), place)


def _on(run: Run, place: Mapping[str, str]) -> Run:
    async def at(config: Mapping[str, Any], /, **fields: Any) -> Any:
        return await run({**place, **config}, **fields)

    return at


async def failure(run: Run, config: Mapping[str, Any], **fields: Any) -> ToolError:
    with pytest.raises(ToolError) as raised:
        await run(config, **fields)
    return raised.value


class TestLakes:
    async def test_rows_are_there_for_the_next_task_in_files_of_the_folder(
        self, run: Run, tmp_path: Path
    ) -> None:
        many = [{"id": n, "name": f"n{n}"} for n in range(2000)]

        await run({"query": "CREATE TABLE t AS FROM many"}, input={"many": many})
        changed = await run(
            {"query": "UPDATE t SET name = $name WHERE id < 10", "params": {"name": "'; DROP"}}
        )
        found = await run({"query": "SELECT count(*) AS n, count(DISTINCT name) AS names FROM lake.t"})

        assert changed["row_count"] == 10
        assert rows(found) == [{"n": 2000, "names": 1991}]
        assert list((tmp_path / "rows").rglob("*.parquet")) != []

    async def test_a_query_reads_the_past(self, run: Run) -> None:
        await run(
            {
                "commands": [
                    "CREATE TABLE t (n INT)",
                    "INSERT INTO t VALUES (1), (2)",
                    "DELETE FROM t WHERE n = 1",
                ]
            }
        )

        past = "SELECT (SELECT count(*) FROM t AT (VERSION => 1)) AS none, (SELECT count(*) FROM t AT (VERSION => 2)) AS both, (SELECT sum(n) FROM t) AS now"
        snapshots = await run({"query": "SELECT snapshot_id FROM lake.snapshots() ORDER BY 1"})

        assert rows(await run({"query": past})) == [{"none": 0, "both": 2, "now": 2}]
        assert [row["snapshot_id"] for row in rows(snapshots)] == [0, 1, 2, 3]

    async def test_a_transaction_is_one_snapshot_or_none(self, run: Run) -> None:
        await run({"query": "CREATE TABLE t (n INT)"})
        both = "INSERT INTO t VALUES (1); INSERT INTO t VALUES ({})"

        error = await failure(run, {"query": both.format("CAST('x' AS INT)"), "transaction": True})
        await run({"query": both.format("2"), "transaction": True})
        found = await run(
            {"query": "SELECT count(*) AS n, (SELECT max(snapshot_id) FROM lake.snapshots()) AS last FROM t"}
        )

        assert (error.kind, error.code, error.message.startswith("command_1: ")) == (
            "sql",
            "ConversionException",
            True,
        )
        assert rows(found) == [{"n": 2, "last": 2}]

    async def test_a_lake_has_the_name_that_it_is_given(self, run: Run) -> None:
        await run({"query": "CREATE TABLE t AS SELECT 1 AS n", "catalog_name": "the lake"})

        assert rows(await run({"query": 'FROM "the lake".t', "catalog_name": "the lake"})) == [{"n": 1}]

    async def test_a_query_without_end_is_stopped_and_its_thread_is_free(self, run: Run) -> None:
        error = await failure(run, {"query": ENDLESS}, timeout=1.0)

        assert (error.kind, error.retryable) == ("timeout", True)
        assert rows(await run({"query": "SELECT 1 AS n"})) == [{"n": 1}]


class TestCatalogs:
    @pytest.mark.parametrize(
        ("config", "sentence"),
        [
            ({}, "there is no catalog; give it `catalog_connection`, a file, or `auth`, a PostgreSQL"),
            ({"catalog_connection": "mysql:db=x"}, "no catalog is read from 'mysql:'"),
            ({"catalog_connection": "x", "data_path": "s3://b/k"}, "stores of objects are not reached"),
        ],
    )
    async def test_what_names_no_lake_is_told(
        self, tool: Ducklake, config: Mapping[str, Any], sentence: str
    ) -> None:
        error = await failure(runner(tool), {"query": "SELECT 1", **config})

        assert (error.kind, sentence in error.message) == ("validation", True)

    async def test_a_catalog_is_named_once(self, tool: Ducklake) -> None:
        credentials = {"store": Secret("store", "postgresql://tests@db/lake")}

        error = await failure(
            runner(tool, credentials=credentials), {"query": "SELECT 1", "catalog_connection": "x"}
        )

        assert "the catalog is named twice" in error.message

    async def test_a_lake_that_cannot_be_made_is_told(self, tool: Ducklake, tmp_path: Path) -> None:
        place = {"catalog_connection": str(tmp_path / "none" / "lake.catalog"), "data_path": str(tmp_path)}

        error = await failure(runner(tool), {"query": "SELECT 1", **place})

        assert (error.kind, error.code) == ("sql", "IOException")
        assert error.message.startswith("the lake 'lake' cannot be attached: ")

    async def test_a_private_server_of_the_documents_is_not_reached(self, tool: Ducklake) -> None:
        named = await failure(
            runner(tool),
            {"query": "SELECT 1", "catalog_connection": f"postgresql://tests:secret@{HOST}:1/lake"},
        )
        listed = await failure(
            runner(tool, hosts=("db.example",)),
            {"query": "SELECT 1", "catalog_connection": f"postgres:host={HOST} user=tests password=secret"},
        )

        assert {named.kind, listed.kind} == {"client_error"}
        assert "secret" not in named.message + listed.message

    async def test_a_server_that_is_not_there_or_refuses_is_told_without_its_secret(
        self, postgres: postgres_server.Server, tmp_path: Path
    ) -> None:
        tool = Ducklake(unreachable, allow_private=True)
        server = {"host": HOST, "port": postgres.port, "user": postgres_server.USER, "password": "hidden's"}
        lake = {"query": "SELECT 1", "data_path": str(tmp_path)}

        gone = await failure(
            runner(tool, credentials={"s": Secret("s", {**server, "port": free_port()})}), lake
        )
        refused = await failure(runner(tool, credentials={"s": Secret("s", server, provider=DOCUMENT)}), lake)
        named = f"postgresql://{postgres_server.USER}:hidden@{HOST}:{postgres.port}/none"
        written = await failure(runner(tool), {**lake, "catalog_connection": named})
        await tool.close()

        assert [(each.kind, each.code, each.retryable) for each in (gone, refused, written)] == [
            ("connection", "unreachable", True),
            ("auth", "refused", False),
            ("auth", "refused", False),
        ]
        assert gone.message.startswith("the catalog of 'lake': no connection: ")
        assert not any("hidden" in each.message for each in (gone, refused, written))

    async def test_no_query_shows_the_password(self, tool: Ducklake, database: str, tmp_path: Path) -> None:
        run = runner(tool, credentials={"store": Secret("store", database)})
        password = database.split(":")[2].split("@", maxsplit=1)[0]

        found = await run(
            {"query": "FROM duckdb_databases(); FROM duckdb_secrets()", "data_path": str(tmp_path)}
        )

        told = str([rows(found[f"command_{n}"]) for n in range(2)])
        assert ("postgres" in told, password in told) == (True, False)

    async def test_a_missing_extension_names_what_brings_it(
        self, tool: Ducklake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "duckdb_extension_sqlite_scanner", None)

        error = await failure(
            runner(tool), {"query": "SELECT 1", "catalog_connection": f"sqlite:{tmp_path}/c"}
        )

        assert error.kind == "not_installed"
        assert error.message.endswith("pip install 'noetl-stream[ducklake]'")


async def test_two_tasks_on_one_lake_both_write(database: str, tmp_path: Path) -> None:
    tool = Ducklake(unreachable, threads=2)
    run = runner(tool, credentials={"store": Secret("store", database)})
    lake = {"data_path": str(tmp_path / "rows")}
    await run({**lake, "query": "CREATE TABLE t (n INT)"})

    await asyncio.gather(*(run({**lake, "query": f"INSERT INTO t VALUES ({n})"}) for n in range(2)))
    found = await run({**lake, "query": "SELECT count(*) AS n FROM t"})
    await tool.close()

    assert rows(found) == [{"n": 2}]
