"""The duckdb tool: result shapes, parameters, inputs as views, files, and an end on time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.errors import ToolError
from noetl_stream.tools.duckdb import Duckdb
from noetl_stream.worker.keep import plain_rows
from tests.contract.cache import KEY, flights
from tests.tools.conftest import Run, call, runner, unreachable


@pytest.fixture
async def duckdb_tool() -> AsyncIterator[Duckdb]:
    tool = Duckdb(unreachable)
    yield tool
    await tool.close()


@pytest.fixture
def run(duckdb_tool: Duckdb) -> Run:
    return runner(duckdb_tool)


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
    assert result["command_1"] == {"rows": [], "columns": [], "row_count": 3}
    assert rows(result["command_2"]) == [{"total": 6}]
    assert (rows(result), result["columns"], result["row_count"]) == ([], ["n"], 0)
    assert result["command_4"]["row_count"] == 2


async def test_without_a_result_set_the_last_statements_count_stands_on_top(run: Run) -> None:
    result = await run({"commands": ["CREATE TABLE t (n INT)", "INSERT INTO t VALUES (1), (2)"]})

    assert (result["rows"], result["columns"], result["row_count"]) == ([], [], 2)


async def test_returning_is_a_result_set(run: Run) -> None:
    result = await run({"command": "CREATE TABLE t (n INT); INSERT INTO t VALUES (4) RETURNING n * 2 AS m"})

    assert rows(result) == [{"m": 8}]


async def test_quotes_and_comments_do_not_split(run: Run) -> None:
    result = await run({"query": "SELECT 'a;b' AS x, $$c;'d$$ AS y /* ; */; -- ;\n"})

    assert rows(result) == [{"x": "a;b", "y": "c;'d"}]
    assert "command_1" not in result


async def test_statements_commit_one_by_one_unless_they_are_a_transaction(run: Run, tmp_path: Path) -> None:
    database = {"database": str(tmp_path / "kept.db")}
    await run({"query": "CREATE TABLE t (n INT UNIQUE)", **database})
    twice = {"commands": ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)"], **database}

    with pytest.raises(ToolError, match=r"^command_1: Constraint Error"):
        await run({**twice, "transaction": True})
    assert rows(await run({"query": "SELECT n FROM t", **database})) == []

    with pytest.raises(ToolError, match=r"^command_1: Constraint Error"):
        await run(twice)
    assert rows(await run({"query": "SELECT n FROM t", **database})) == [{"n": 1}]


async def test_a_file_that_another_process_holds_may_be_tried_again(run: Run, tmp_path: Path) -> None:
    database = str(tmp_path / "kept.db")
    held = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", held, database),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert other.stdout is not None
    await other.stdout.readline()

    with pytest.raises(ToolError, match="lock") as busy:
        await run({"query": "SELECT 1", "database": database})
    await other.communicate(b"")

    assert (busy.value.kind, busy.value.code, busy.value.retryable) == ("sql", "IOException", True)


UUID_TEXT = "64c08349-d6e0-456b-913e-3c4ba7e11e0a"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("DATE '2024-01-02'", date(2024, 1, 2)),
        ("TIME '10:11:12'", time(10, 11, 12)),
        ("'10:11:12+02'::TIMETZ", "10:11:12+02"),
        ("TIMESTAMP '2024-01-02 03:04:05'", datetime(2024, 1, 2, 3, 4, 5)),
        ("TIMESTAMPTZ '2024-01-02 03:04:05+02'", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("INTERVAL '14 months 3 days'", "1 year 2 months 3 days"),
        ("1.50::DECIMAL(10, 2)", Decimal("1.50")),
        ("sum(2)", 2),
        ("170141183460469231731::HUGEINT", Decimal(170141183460469231731)),
        ("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455"),
        (f"'{UUID_TEXT}'::UUID", UUID_TEXT),
        ("'{\"a\": 1}'::JSON", '{"a": 1}'),
        ("'ab'::BLOB", b"ab"),
        ("'101'::BIT", "101"),
        ("'x'::ENUM('x', 'y')", "x"),
        ("[1, NULL]", [1, None]),
        ("[1, 2]::INT[2]", [1, 2]),
        ("MAP {'k': INTERVAL 1 DAY}", {"k": "1 day"}),
        ("{'a b': [INTERVAL 1 DAY], 'n': 1}", {"a b": ["1 day"], "n": 1}),
        ("[INTERVAL 1 DAY]::INTERVAL[1]", ["1 day"]),
        ("union_value(n := 1)", "1"),
        ("NULL", None),
    ],
)
async def test_every_type_arrives_in_a_form_that_every_reader_takes(
    run: Run, expression: str, value: Any, tmp_path: Path
) -> None:
    result = await run({"query": f'SELECT {expression} AS "a ""v"'})

    (row,) = result["rows"].to_pylist(maps_as_pydicts="strict")
    assert row == {'a "v': value}
    cache = LocalCache(tmp_path)
    frame = await cache.frame(await cache.put_table(KEY, result["rows"]))
    assert frame.polars().collect().height == 1
    assert len(plain_rows(frame.arrow())) == 1


async def test_a_key_for_a_credential_of_a_cloud_is_taken(run: Run) -> None:
    assert rows(await run({"query": "SELECT 1 AS n", "gcs_credential": "gcs_hmac"})) == [{"n": 1}]


async def test_two_columns_of_one_name_stay_two(run: Run) -> None:
    assert rows(await run({"query": "SELECT 1 AS a, 2 AS a, 3 AS a"})) == [{"a": 1, "a_1": 2, "a_2": 3}]


@pytest.mark.parametrize("config", [{}, {"query": ""}, {"script": "-- nothing\n"}, {"commands": []}])
async def test_no_statement_is_an_error(run: Run, config: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match=r"^no sql command provided$") as refused:
        await run(config)
    assert (refused.value.kind, refused.value.retryable) == ("validation", False)


async def test_parameters_are_bound_and_dealt_out(run: Run) -> None:
    text = "SELECT ? AS a; SELECT ? AS b, ? AS c"
    named = {"query": "SELECT $low AS a; SELECT $high AS b", "params": {"low": 1, "high": "x'; DROP TABLE t"}}

    assert rows(await run({"query": text, "params": [1, 2, "%s"]})) == [{"b": 2, "c": "%s"}]
    assert rows(await run(named)) == [{"b": "x'; DROP TABLE t"}]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ([1], "the statements take 2 params or more, 1 are given"),
        ([1, 2, 3], "3 params are given, the statements take 2"),
        ({"x": 1}, r"the SQL names \$1, which is not in `params` \(x\)"),
    ],
)
async def test_parameters_that_do_not_fit_are_told(run: Run, params: Any, sentence: str) -> None:
    with pytest.raises(ToolError, match=sentence) as refused:
        await run({"query": "SELECT ?; SELECT ?", "params": params})
    assert refused.value.kind == "sql"


async def test_inputs_are_views_by_their_names(run: Run, tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    inputs = {
        "frame": await cache.frame(await cache.put_table(KEY, flights())),
        "listed": [{"carrier": "AA"}, {"carrier": "UA", "name": "United"}],
        "earlier": {"rows": flights(), "columns": ["carrier", "delay"], "row_count": 3},
        "limit": 5,
    }
    query = (
        "SELECT l.name, sum(f.delay) AS delay, (SELECT count(*) FROM earlier) AS n "
        "FROM frame f JOIN listed l USING (carrier) GROUP BY ALL ORDER BY ALL"
    )

    assert rows(await run({"query": query}, input=inputs)) == [
        {"name": "United", "delay": None, "n": 3},
        {"name": None, "delay": 15, "n": 3},
    ]


async def test_rows_that_are_no_table_are_told(run: Run) -> None:
    with pytest.raises(ToolError, match=r"the rows of input 'x' are no table .*; give each column one type"):
        await run({"query": "SELECT 1"}, input={"x": [{"a": 1}, {"a": "b"}]})


async def test_a_database_is_fresh_unless_it_has_a_file(run: Run, tmp_path: Path) -> None:
    create, read = "CREATE TABLE t AS SELECT 42 AS n", "SELECT n FROM t"
    kept = {"database": str(tmp_path / "kept.db")}

    await run({"query": create, **kept})
    assert rows(await run({"query": read, **kept})) == [{"n": 42}]

    await run({"query": create})
    with pytest.raises(
        ToolError, match=r"command_0: Catalog Error: Table with name t does not exist"
    ) as failed:
        await run({"query": read})
    assert (failed.value.kind, failed.value.code, failed.value.retryable) == (
        "sql",
        "CatalogException",
        False,
    )


async def test_local_files_are_written_and_read(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"

    result = await run({"query": f"COPY (SELECT range AS n FROM range(5)) TO '{path}'; FROM '{path}'"})

    assert result["command_0"]["row_count"] == 5
    assert pq.read_table(path).num_rows == result["row_count"] == 5


async def test_urls_are_not_read_past_the_guard(run: Run) -> None:
    with pytest.raises(ToolError, match=r"HTTPFileSystem|httpfs"):
        await run({"query": "SELECT * FROM 'http://169.254.169.254/x.csv'"})


ENDLESS = "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b WHERE a.range * b.range % 7 = 3"


async def test_a_query_without_end_is_stopped(run: Run) -> None:
    with pytest.raises(ToolError, match=r"the duckdb task ran longer than 0.1 s and was stopped") as stopped:
        await run({"query": ENDLESS}, timeout=0.1)

    assert (stopped.value.kind, stopped.value.retryable) == ("timeout", True)
    assert rows(await run({"query": "SELECT 1 AS n"})) == [{"n": 1}]


async def test_a_cancelled_query_leaves_its_thread(duckdb_tool: Duckdb) -> None:
    """close() waits for the threads: it would hang if the query still ran."""
    running = asyncio.create_task(duckdb_tool.run(call(duckdb_tool, {"query": ENDLESS})))
    await asyncio.sleep(0)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def test_waiting_queries_end_on_time_too() -> None:
    tool = Duckdb(unreachable, threads=1)
    running = [tool.run(call(tool, {"query": ENDLESS}, timeout=0.2)) for _ in range(3)]

    outcomes = await asyncio.gather(*running, return_exceptions=True)
    await tool.close()

    assert [getattr(outcome, "kind", outcome) for outcome in outcomes] == ["timeout"] * 3
