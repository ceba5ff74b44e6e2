"""The duckdb tool: the shapes and rules of every SQL kind, and what is duckdb's own: inputs as views, types, files."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.errors import ToolError
from noetl_stream.tools.duckdb import Duckdb
from noetl_stream.worker.keep import plain_rows
from tests.contract.cache import KEY, flights
from tests.contract.once import OnceContract
from tests.contract.sql import SqlContract, rows
from tests.tools.conftest import Run, call, runner, unreachable


@pytest.fixture
async def tool() -> AsyncIterator[Duckdb]:
    tool = Duckdb(unreachable)
    yield tool
    await tool.close()


@pytest.fixture
def run(tool: Duckdb) -> Run:
    return runner(tool)


ENDLESS = "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b WHERE a.range * b.range % 7 = 3"


@pytest.fixture
def once(run: Run, tmp_path: Path) -> Run:
    async def once(config: Mapping[str, Any], /, **fields: Any) -> Any:
        kept = {"database": str(tmp_path / "kept.db")}
        return await run({**kept, **config}, **{"once": True, "effect_key": "k1", **fields})

    return once


class TestDuckdbOnce(OnceContract):
    """`effects: exactly_once`."""

    async def test_a_database_in_memory_is_refused(self, once: Run) -> None:
        with pytest.raises(ToolError, match="a database in memory is gone with its task"):
            await once({"query": "SELECT 1", "database": ":memory:"})


class TestDuckdb(SqlContract):
    """The shapes and rules of every SQL kind."""

    endless = ENDLESS
    twice = "Constraint Error"
    twice_code = "ConstraintException"


async def test_quotes_and_comments_do_not_split(run: Run) -> None:
    result = await run({"query": "SELECT 'a;b' AS x, $$c;'d$$ AS y /* ; */; -- ;\n"})

    assert rows(result) == [{"x": "a;b", "y": "c;'d"}]
    assert "command_1" not in result


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


async def test_waiting_queries_end_on_time_too() -> None:
    tool = Duckdb(unreachable, threads=1)
    running = [tool.run(call(tool, {"query": ENDLESS}, timeout=0.2)) for _ in range(3)]

    outcomes = await asyncio.gather(*running, return_exceptions=True)
    await tool.close()

    assert [getattr(outcome, "kind", outcome) for outcome in outcomes] == ["timeout"] * 3


async def test_what_was_changed_is_counted_or_returned(run: Run) -> None:
    text = """
    CREATE TABLE t ("returning" INT, Größe TEXT); INSERT INTO t VALUES (1, 'ä'), (2, 'returning');
    UPDATE t SET "returning" = 3 /* returning */; DELETE FROM t WHERE Größe = 'ä' ReTurning "returning" AS Count
    """

    result = await run({"query": text})

    assert [result[f"command_{n}"]["row_count"] for n in range(3)] == [0, 2, 2]
    assert rows(result) == [{"Count": 3}]
